//! A call of a REST API, as it is configured and as it is sent.
//!
//! Whatever a caller gives stays one value at its place: it cannot add a part to the path, a pair to the query, a
//! field to the head or a member to the body.

mod body;
mod fields;
mod url;

#[cfg(test)]
mod tests;

use serde_json::Value;
use weir_schema::mcp::{Arg, Position, Request};
use weir_template::Data;

use crate::template::Scope;
use crate::{LoadError, Unfit};

use body::BodyPlan;
use fields::Fields;
use url::UrlPlan;

/// A call, checked and ready to be written.
#[derive(Clone, Debug)]
pub struct RequestPlan {
    method: String,
    url: UrlPlan,
    fields: Fields,
    body: BodyPlan,
}

/// A call that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The method.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// Header fields, in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl RequestPlan {
    /// Checks a call. Those of `placed` that no template of it names go where their positions say; a call of several
    /// has none of them.
    ///
    /// # Errors
    ///
    /// The first field that is wrong.
    pub fn of(request: &Request, scope: &Scope<'_>, placed: &[Arg]) -> Result<Self, LoadError> {
        let mut url = UrlPlan::of(&request.path.0, scope, placed).map_err(|error| error.within("path"))?;
        let mut fields = Fields::of(&request.headers, scope)?;
        let media = request.content_type.as_deref();
        let mut body = BodyPlan::of(request.body.as_ref(), media, scope)?;
        let method = method(request, body.is_empty())?;
        let named: Vec<String> =
            url.names().chain(fields.names()).chain(body.names()).map(str::to_owned).collect();
        for (at, arg) in placed.iter().enumerate() {
            if named.iter().any(|name| name == arg.name.as_str()) {
                continue;
            }
            let wrong = |problem| LoadError::new(format!("args[{at}].position"), problem);
            let default = match method.as_str() {
                "POST" | "PUT" | "PATCH" => Position::Body,
                _ => Position::Query,
            };
            match arg.position.unwrap_or(default) {
                Position::Query => url.append(arg),
                Position::Path => return Err(wrong("the path does not name it")),
                Position::Header => fields.append(arg).map_err(wrong)?,
                Position::Cookie => fields.append_cookie(arg),
                Position::Body => body.append(arg, media).map_err(wrong)?,
            }
        }
        Ok(Self { method, url, fields, body })
    }

    /// Writes the call.
    ///
    /// # Errors
    ///
    /// What does not fit.
    pub fn write(&self, data: &Data) -> Result<Outgoing, Unfit> {
        let path = self.url.write(data)?;
        if path.len() > MAX_URL {
            return Err(Unfit::Other(format!("the URL is longer than {MAX_URL} bytes")));
        }
        let mut headers = self.fields.write(data)?;
        let body = self.body.write(data)?;
        if let Some(media) = self.body.media() {
            headers.push(("content-type".into(), media.into()));
        }
        Ok(Outgoing { method: self.method.clone(), path, headers, body })
    }
}

fn method(request: &Request, no_body: bool) -> Result<String, LoadError> {
    let method = request.method.as_deref().map(str::to_ascii_uppercase);
    match method {
        None => Ok(if no_body { "GET" } else { "POST" }.into()),
        Some(method) if METHODS.contains(&method.as_str()) => Ok(method),
        Some(_) => Err(LoadError::new("method", format!("is none of {}", METHODS.join(", ")))),
    }
}

/// The argument of this name in the data.
fn argument<'d>(data: &'d Data, name: &str) -> Option<&'d Value> {
    data.value().get(name)
}

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// The longest path and query, in bytes.
const MAX_URL: usize = 8 * 1024;
