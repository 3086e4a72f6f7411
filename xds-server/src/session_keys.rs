//! The keys that the `mcp` filter seals sessions with. They are in no resource of Envoy's: the filter asks for them.
//!
//! A key is derived (HKDF-SHA-256, RFC 5869) from a secret of the configuration, so that all replicas have the same; or, if
//! none is named, from one that this process has made, and has written beside its store if that is a file.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{self, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hkdf::Hkdf;
use sha2::Sha256;
use tokio::sync::watch;
use weir_schema::mcp::{SessionKey, SessionKeys};

use crate::{gateways::Gateways, keys, secret::Secret};

/// The key that is derived from a secret for the Envoys of a gateway.
pub fn derive(secret: &Secret, gateway: &str) -> SessionKey {
    let derivation = Hkdf::<Sha256>::new(None, secret.expose().as_bytes());
    let (mut id, mut key) = ([0; 4], [0; 64]);
    for (purpose, out) in [("id", id.as_mut_slice()), ("key", key.as_mut_slice())] {
        let info: [&[u8]; 5] = [b"weir mcp session\0", purpose.as_bytes(), b"\0", gateway.as_bytes(), b"\0"];
        // Both are far shorter than 255 hashes, the most that can be derived.
        let _fits = derivation.expand_multi_info(&info, out);
    }
    SessionKey { id: format!("{:08x}", u32::from_be_bytes(id)), key: BASE64_STANDARD.encode(key) }
}

/// The secret of this process, where the configuration names none; it is kept in a file if one is named.
pub fn own_secret(file: Option<&Path>) -> io::Result<Secret> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let text = match file.map(fs::read_to_string) {
        Some(Ok(text)) => text,
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Some(Err(_)) | None => {
            let text = keys::random("").map_err(io::Error::other)?;
            if let Some(file) = file {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(file)?;
                file.write_all(text.as_bytes())?;
            }
            text
        }
    };
    Secret::parse(&text).map_err(invalid)
}

/// `GET /v1/mcp-session-keys/{gateway}`: the keys of a gateway's Envoys. It is served where Envoys connect.
pub fn router(served: watch::Receiver<Arc<Gateways>>, own: Secret) -> Router {
    Router::new().route(&format!("{PATH}/{{*gateway}}"), get(find)).with_state((served, own))
}

async fn find(
    State((served, own)): State<(watch::Receiver<Arc<Gateways>>, Secret)>,
    extract::Path(gateway): extract::Path<String>,
) -> Response {
    let gateways = Arc::clone(&served.borrow());
    let found = gateways.snapshots().iter().find(|(name, _)| name.as_str() == gateway);
    match found {
        Some((_, snapshot)) if !snapshot.sessions().keys.is_empty() => {
            Json(snapshot.sessions()).into_response()
        }
        Some(_) => Json(SessionKeys { keys: vec![derive(&own, &gateway)] }).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Where the filter asks.
pub const PATH: &str = "/v1/mcp-session-keys";
const OWNER_ONLY: u32 = 0o600;

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    #[test]
    fn replicas_derive_the_same_key_and_other_gateways_another() {
        let key = derive(&secret("a secret of the replicas"), "edge");
        assert_eq!(key, derive(&secret("a secret of the replicas"), "edge"));
        assert_eq!((key.id.len(), BASE64_STANDARD.decode(&key.key).unwrap().len()), (8, 64));
        for other in
            [derive(&secret("a secret of the replicas"), "edge2"), derive(&secret("another"), "edge")]
        {
            assert!(other.id != key.id && other.key != key.key);
        }
    }

    #[test]
    fn a_secret_of_its_own_is_kept_if_there_is_a_file_for_it() {
        use std::os::unix::fs::PermissionsExt;

        let file = std::env::temp_dir().join(format!("weir-sessions-{}", std::process::id()));
        let first = own_secret(Some(&file)).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(own_secret(Some(&file)).unwrap(), first);
        fs::remove_file(&file).unwrap();
        assert_ne!(own_secret(None).unwrap(), own_secret(None).unwrap());
    }
}
