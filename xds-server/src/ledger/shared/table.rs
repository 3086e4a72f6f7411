//! How accounts lie in Redis, and the scripts that move them.
//!
//! An account is a string: 16 characters that are others after each change, then the account as JSON. It expires when
//! nothing of it counts any more. Two sorted sets of each rule have the names of its counters, by name and by when they
//! expire. All keys of a rule have one hash tag, so a script finds them together in a cluster.

use redis::{Cmd, cmd};
use weir_schema::{Name, ledger::CounterName};

use super::link::Connection;
use crate::ledger::{account::Account, book::BookError};

/// What tells two versions of an account apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u64);

/// Accounts as they were found, and the time then.
pub(super) struct Loaded {
    pub(super) now: u64,
    /// In the order of their names.
    pub(super) accounts: Vec<Result<Option<(Tag, Account)>, BookError>>,
}

/// An account that takes the place of the one with the expected tag, or of none.
pub(super) struct Put {
    pub(super) name: CounterName,
    pub(super) expected: Option<Tag>,
    pub(super) tag: Tag,
    pub(super) account: Account,
}

impl Tag {
    /// Where this process begins.
    pub(super) fn first() -> Self {
        Self(getrandom::u64().unwrap_or_default())
    }

    pub(super) fn next(&mut self) -> Self {
        self.0 = self.0.wrapping_add(1);
        *self
    }

    fn to_text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Loads accounts of one rule.
pub(super) async fn load(
    connection: &mut Connection,
    prefix: &str,
    rule: &Name,
    names: &[CounterName],
) -> Result<Loaded, BookError> {
    let mut script = eval(LOAD, names.len());
    for name in names {
        script.arg(account_key(prefix, rule, name));
    }
    let (now, texts): (u64, Vec<Option<Vec<u8>>>) = script.query_async(connection).await?;
    let accounts =
        names.iter().zip(texts).map(|(name, text)| text.map(|text| parse(name, &text)).transpose());
    Ok(Loaded { now, accounts: accounts.collect() })
}

/// Saves accounts of one rule, each if it is still what was expected. Says which were.
pub(super) async fn save(
    connection: &mut Connection,
    prefix: &str,
    rule: &Name,
    (puts, now): (&[Put], u64),
) -> Result<Vec<bool>, BookError> {
    let mut script = eval(SAVE, puts.len().saturating_add(2));
    script.arg(names_key(prefix, rule)).arg(ends_key(prefix, rule));
    for put in puts {
        script.arg(account_key(prefix, rule, &put.name));
    }
    script.arg(now);
    for Put { name, expected, tag, account } in puts {
        let json = serde_json::to_string(account).map_err(|error| BookError::Damaged(error.to_string()))?;
        let ends = account.ends().max(now).saturating_add(KEPT_SECS);
        script.arg(expected.map(Tag::to_text).unwrap_or_default());
        script.arg(tag.to_text() + &json).arg(ends).arg(name.to_text());
    }
    Ok(script.query_async(connection).await?)
}

/// Accounts of a rule by name, after the one that is named.
pub(super) async fn list(
    connection: &mut Connection,
    prefix: &str,
    rule: &Name,
    (after, most): (Option<&CounterName>, usize),
) -> Result<Vec<(CounterName, Account)>, BookError> {
    let from = after.map_or_else(|| "-".to_owned(), |after| format!("({}", after.to_text()));
    let mut names = cmd("ZRANGEBYLEX");
    names.arg(names_key(prefix, rule)).arg(from).arg("+").arg("LIMIT").arg(0).arg(most);
    let names: Vec<String> = names.query_async(connection).await?;
    let parse = |name: String| CounterName::parse(&name).ok_or(BookError::Damaged(name));
    let names: Vec<_> = names.into_iter().map(parse).collect::<Result<_, _>>()?;
    let mut listed = Vec::new();
    for names in names.chunks(super::MOST_AT_ONCE) {
        let loaded = load(connection, prefix, rule, names).await?;
        for (name, found) in names.iter().zip(loaded.accounts) {
            listed.extend(found?.map(|(_, account)| (name.clone(), account)));
        }
    }
    Ok(listed)
}

fn parse(name: &CounterName, text: &[u8]) -> Result<(Tag, Account), BookError> {
    let parse = || {
        let (tag, json) = text.split_at_checked(16)?;
        let tag = u64::from_str_radix(str::from_utf8(tag).ok()?, 16).ok()?;
        Some((Tag(tag), serde_json::from_slice(json).ok()?))
    };
    parse().ok_or_else(|| BookError::Damaged(name.to_text()))
}

fn eval(script: &str, keys: usize) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(script).arg(keys);
    eval
}

fn account_key(prefix: &str, rule: &Name, name: &CounterName) -> String {
    format!("{prefix}:{{{rule}}}:account:{}", name.to_text())
}

fn names_key(prefix: &str, rule: &Name) -> String {
    format!("{prefix}:{{{rule}}}:names")
}

fn ends_key(prefix: &str, rule: &Name) -> String {
    format!("{prefix}:{{{rule}}}:ends")
}

const LOAD: &str = "return {tonumber(redis.call('TIME')[1]), redis.call('MGET', unpack(KEYS))}";

const SAVE: &str = "
local saved = {}
for i = 3, #KEYS do
    local at = 4 * i - 10
    local is_same = redis.call('GETRANGE', KEYS[i], 0, 15) == ARGV[at]
    if is_same then
        redis.call('SET', KEYS[i], ARGV[at + 1], 'EXAT', ARGV[at + 2])
        redis.call('ZADD', KEYS[1], 0, ARGV[at + 3])
        redis.call('ZADD', KEYS[2], ARGV[at + 2], ARGV[at + 3])
    end
    saved[i - 2] = is_same and 1 or 0
end
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, 10)
if #over > 0 then
    redis.call('ZREM', KEYS[1], unpack(over))
    redis.call('ZREM', KEYS[2], unpack(over))
end
return saved
";

/// For how long an account is kept after its end: a clock that is set right may be set back.
const KEPT_SECS: u64 = 300;
