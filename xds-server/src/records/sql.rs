//! What is said to the databases of records, in the SQL that SQLite and PostgreSQL have in common.

use super::database::{Bucket, COLUMNS, Question, Sum};

/// The words of one database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sql {
    /// How the names of tables begin.
    pub(super) prefix: &'static str,
    /// What a table ends with that has its rows in the order of its key.
    pub(super) by_key: &'static str,
    /// A number that grows with each row.
    pub(super) serial: &'static str,
}

impl Sql {
    /// Makes the tables that are not there.
    pub(super) fn tables(self) -> String {
        let Self { prefix, by_key, serial } = self;
        let text: String = COLUMNS.iter().map(|column| format!("{column} TEXT NOT NULL, ")).collect();
        let numbers: String = Sum::NAMES.iter().map(|column| format!("{column} BIGINT NOT NULL, ")).collect();
        let key = COLUMNS.join(", ");
        let usage = TABLES.map(|(table, ..)| {
            format!(
                "CREATE TABLE IF NOT EXISTS {prefix}{table} (bucket BIGINT NOT NULL, {text}{numbers}\
                 PRIMARY KEY (bucket, {key})){by_key};"
            )
        });
        format!(
            "{}CREATE TABLE IF NOT EXISTS {prefix}audit (id {serial}, at BIGINT NOT NULL, actor TEXT NOT NULL, \
             action TEXT NOT NULL, object TEXT NOT NULL, detail TEXT NOT NULL);\
             CREATE TABLE IF NOT EXISTS {prefix}keys (key TEXT PRIMARY KEY, at BIGINT NOT NULL){by_key};",
            usage.concat()
        )
    }

    /// Adds to a sum: its bucket, its dimensions and its numbers.
    pub(super) fn add(self, table: &str) -> String {
        let table = format!("{}{table}", self.prefix);
        let columns = COLUMNS.join(", ");
        let numbers = Sum::NAMES.join(", ");
        let places = places(1, COLUMNS.len().saturating_add(Sum::NAMES.len()).saturating_add(1));
        let sums = Sum::NAMES.map(|column| format!("{column} = {table}.{column} + excluded.{column}"));
        format!(
            "INSERT INTO {table} (bucket, {columns}, {numbers}) VALUES ({places}) \
             ON CONFLICT (bucket, {columns}) DO UPDATE SET {}",
            sums.join(", ")
        )
    }

    /// Notes when a key was used.
    pub(super) fn used(self) -> String {
        let keys = format!("{}keys", self.prefix);
        format!(
            "INSERT INTO {keys} (key, at) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE \
             SET at = CASE WHEN excluded.at > {keys}.at THEN excluded.at ELSE {keys}.at END"
        )
    }

    /// When a key was used last.
    pub(super) fn last_used(self) -> String {
        format!("SELECT at FROM {}keys WHERE key = $1", self.prefix)
    }

    /// Forgets what is older than a time.
    pub(super) fn forget(self, table: &str, column: &str) -> String {
        format!("DELETE FROM {}{table} WHERE {column} < $1", self.prefix)
    }

    /// Asks for sums from one second to another, and then for what each column must be.
    pub(super) fn usage(self, question: &Question) -> String {
        let (table, seconds) = match question.bucket {
            Bucket::Minute => ("usage_minutes", 60),
            Bucket::Hour => ("usage_hours", 3600),
            Bucket::Day => ("usage_hours", 86_400),
        };
        let by: String = question.by.iter().map(|column| format!(", {column}")).collect();
        let only: String =
            (3..).zip(&question.only).map(|(at, (name, _))| format!(" AND {name} = ${at}")).collect();
        let groups: String = (11..).zip(&question.by).map(|(at, _)| format!(", {at}")).collect();
        format!(
            "SELECT bucket / {seconds} * {seconds}, {SUMS}{by} FROM {}{table} \
             WHERE bucket >= $1 AND bucket < $2{only} GROUP BY 1{groups} ORDER BY 1{groups} LIMIT {}",
            self.prefix, question.most
        )
    }

    /// Writes down what was done.
    pub(super) fn write_down(self) -> String {
        let prefix = self.prefix;
        format!("INSERT INTO {prefix}audit (at, actor, action, object, detail) VALUES ({})", places(1, 5))
    }

    /// Forgets all but the last of what was done.
    pub(super) fn forget_entries(self) -> String {
        let prefix = self.prefix;
        format!("DELETE FROM {prefix}audit WHERE id <= (SELECT max(id) FROM {prefix}audit) - {MOST_ENTRIES}")
    }

    /// What was done, the newest first.
    pub(super) fn audit(self, most: usize) -> String {
        format!(
            "SELECT at, actor, action, object, detail FROM {}audit ORDER BY id DESC LIMIT {most}",
            self.prefix
        )
    }
}

fn places(first: usize, count: usize) -> String {
    (first..).take(count).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
}

const SUMS: &str = "CAST(sum(requests) AS BIGINT), CAST(sum(errors) AS BIGINT), CAST(sum(input) AS BIGINT), \
    CAST(sum(output) AS BIGINT), CAST(sum(cached) AS BIGINT), CAST(sum(reasoning) AS BIGINT), \
    CAST(sum(cost) AS DOUBLE PRECISION) / 1e9, \
    CAST(sum(duration_ms) AS DOUBLE PRECISION) / CAST(sum(requests) AS DOUBLE PRECISION), \
    CAST(sum(first_ms) AS DOUBLE PRECISION) / nullif(CAST(sum(firsts) AS DOUBLE PRECISION), 0)";

/// Each table of sums, the length of its buckets, and for how long they are kept.
pub(super) const TABLES: [(&str, i64, i64); 2] =
    [("usage_minutes", 60, 2 * 86_400), ("usage_hours", 3600, 400 * 86_400)];
/// How long a key that is used no more is remembered.
pub(super) const UNUSED: i64 = 400 * 86_400;
const MOST_ENTRIES: i64 = 100_000;
