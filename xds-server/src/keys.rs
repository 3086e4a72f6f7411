//! API keys: making one, and hashing one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use weir_schema::{KeyHash, ModelPattern, Name};

/// A key that has just been made. It is shown once; afterwards only its hash exists.
pub struct NewKey {
    secret: String,
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

    /// The entry for `keys` in the configuration file.
    pub fn entry(&self, id: &Name, models: &[ModelPattern]) -> String {
        let hash = self.hash();
        if models.is_empty() {
            return format!("- {{id: {id}, sha256: {hash}}}");
        }
        let models: Vec<_> = models.iter().map(|model| format!("\"{}\"", model.as_str())).collect();
        format!("- {{id: {id}, sha256: {hash}, models: [{}]}}", models.join(", "))
    }
}

/// A text with 256 random bits after its prefix.
pub fn random(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// The hash under which a key is known.
pub fn hash(secret: &str) -> KeyHash {
    KeyHash::from_bytes(Sha256::digest(secret).into())
}

const PREFIX: &str = "wk-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::File;

    #[test]
    fn a_new_keys_entry_is_read_back() {
        let key = NewKey::generate().unwrap();
        assert_eq!(key.secret().len(), 46);
        let id = Name::try_from("laptop".to_owned()).unwrap();
        let models = [ModelPattern::try_from("gpt-*".to_owned()).unwrap()];
        let file = File::parse(&format!("keys:\n{}\n", key.entry(&id, &models))).unwrap();
        let hashes: Vec<KeyHash> = file.keys[0].sha256.clone().into();
        assert_eq!((hashes, &file.keys[0].models[..]), (vec![hash(key.secret())], &models[..]));
        assert_eq!(File::parse(&format!("keys:\n{}\n", key.entry(&id, &[]))).unwrap().keys[0].id, id);
    }
}
