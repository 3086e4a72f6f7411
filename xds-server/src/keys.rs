//! API keys: making one, and hashing one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use weir_schema::{KeyHash, ModelPattern, Name};

/// A key that has just been made. It is shown once; afterwards only its hash exists.
pub struct NewKey {
    secret: String,
}

/// What a new key's entry says beside its hash.
#[derive(Debug, Args)]
pub struct About {
    /// The key's public name
    #[arg(long, default_value = "key-1", value_parser = parsed::<Name>)]
    pub id: Name,
    /// Whom it stands for. Default a consumer named as the key
    #[arg(long, value_name = "NAME", value_parser = parsed::<Name>)]
    pub consumer: Option<Name>,
    /// Models it may use; `*` in a name stands for any characters. Default all
    #[arg(long, value_name = "MODEL", value_delimiter = ',', value_parser = parsed::<ModelPattern>)]
    pub models: Vec<ModelPattern>,
    /// When it stops working, such as 2027-01-01T00:00:00Z. Default never
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<Timestamp>,
}

impl NewKey {
    /// A key with 256 random bits.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self { secret: random(PREFIX)? })
    }

    /// What is kept of it.
    pub fn hash(&self) -> KeyHash {
        hash(&self.secret)
    }

    /// What the caller sends.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// How it begins.
    pub fn prefix(&self) -> String {
        beginning(&self.secret)
    }

    /// The entry for `keys` in the configuration file.
    pub fn entry(&self, about: &About) -> String {
        let About { id, consumer, models, expires_at } = about;
        let mut fields = vec![format!("id: {id}")];
        fields.extend(consumer.as_ref().map(|consumer| format!("consumer: {consumer}")));
        fields.push(format!("prefix: {}", self.prefix()));
        fields.push(format!("sha256: {}", self.hash()));
        if !models.is_empty() {
            let models: Vec<_> = models.iter().map(|model| format!("\"{}\"", model.as_str())).collect();
            fields.push(format!("models: [{}]", models.join(", ")));
        }
        fields.extend(expires_at.as_ref().map(|time| format!("expires_at: {time}")));
        format!("- {{{}}}", fields.join(", "))
    }
}

impl About {
    /// A key of the API without its hash, which is made there.
    pub fn spec(&self) -> Map<String, Value> {
        let Self { id, consumer, models, expires_at } = self;
        let mut spec = Map::from_iter([("id".to_owned(), json!(id))]);
        spec.extend(consumer.as_ref().map(|consumer| ("consumer".to_owned(), json!(consumer))));
        spec.extend((!models.is_empty()).then(|| ("models".to_owned(), json!(models))));
        spec.extend(expires_at.as_ref().map(|time| ("expires_at".to_owned(), json!(time))));
        spec
    }
}

/// Reads an argument.
pub fn parsed<T: TryFrom<String>>(text: &str) -> Result<T, T::Error> {
    text.to_owned().try_into()
}

/// A text with 256 random bits after its prefix.
pub fn random(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// How a secret begins, by which it is recognised: little enough to say nothing of the rest.
pub fn beginning(secret: &str) -> String {
    let random = secret.find('-').map_or(0, |dash| dash.saturating_add(1));
    secret.chars().take(random.saturating_add(SHOWN)).collect()
}

/// The hash under which a key is known.
pub fn hash(secret: &str) -> KeyHash {
    KeyHash::from_bytes(Sha256::digest(secret).into())
}

const PREFIX: &str = "wk-";

/// How many random characters of a secret are kept.
const SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::File;

    #[test]
    fn a_new_keys_entry_is_read_back() {
        let key = NewKey::generate().unwrap();
        assert_eq!(key.secret().len(), 46);
        let id: Name = parsed("laptop").unwrap();
        let about = About { id: id.clone(), consumer: None, models: Vec::new(), expires_at: None };
        let read =
            |about: &About| File::parse(&format!("keys:\n{}\n", key.entry(about))).unwrap().keys.remove(0);
        assert_eq!(read(&about).id, id);
        assert_eq!(read(&about).prefix.map(String::from), Some(key.secret()[..7].to_owned()));
        let about = About {
            consumer: Some(parsed("team").unwrap()),
            models: vec![parsed("gpt-*").unwrap()],
            expires_at: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            ..about
        };
        let read = read(&about);
        let hashes: Vec<KeyHash> = read.sha256.clone().into();
        assert_eq!(
            (hashes, &read.models, &read.consumer),
            (vec![hash(key.secret())], &about.models, &about.consumer)
        );
        assert!(read.expires_at.is_some());
    }
}
