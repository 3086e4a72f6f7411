//! Errors that come with status 200.

use serde_json::Value;

/// An error that an upstream has answered as if it were a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcealedError {
    /// The status it should have had: the one it names, else the one that its words mean, else 502.
    pub status: u16,
    /// The error as JSON.
    pub body: Vec<u8>,
}

impl ConcealedError {
    /// The error that a JSON body, or the data of an event, is instead of an answer.
    ///
    /// ```
    /// # use weir_wire::openai::ConcealedError;
    /// let error = ConcealedError::read(br#"{"error":{"message":"Overloaded","code":503}}"#);
    /// assert_eq!(error.map(|error| error.status), Some(503));
    /// assert_eq!(ConcealedError::read(br#"{"choices":[],"error":null}"#), None);
    /// ```
    pub fn read(json: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(json).ok()?;
        let members = body.as_object()?;
        if ANSWERS.iter().any(|member| members.contains_key(*member)) {
            return None;
        }
        let error = members.get("error").filter(|error| is_error(error))?;
        Some(Self { status: status(error), body: json.to_vec() })
    }
}

fn is_error(error: &Value) -> bool {
    error.is_object() || error.as_str().is_some_and(|text| !text.is_empty())
}

fn status(error: &Value) -> u16 {
    let named = ["code", "status", "status_code"].into_iter().filter_map(|name| error.get(name));
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let numbers = named.clone().filter_map(number).filter_map(|number| u16::try_from(number).ok());
    if let Some(status) = numbers.into_iter().find(|status| (400..600).contains(status)) {
        return status;
    }
    let words = named.chain(error.get("type")).filter_map(Value::as_str).map(str::to_ascii_lowercase);
    let means =
        |word: String| MEANINGS.iter().find(|(part, _)| word.contains(part)).map(|(_, status)| *status);
    words.into_iter().find_map(means).unwrap_or(502)
}

/// What an answer has and an error has not.
const ANSWERS: [&str; 3] = ["choices", "data", "output"];

/// What the words of providers mean, by their parts.
const MEANINGS: [(&str, u16); 7] = [
    ("rate_limit", 429),
    ("quota", 429),
    ("overload", 503),
    ("unavailable", 503),
    ("invalid_request", 400),
    ("authentication", 401),
    ("not_found", 404),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(json: &str) -> Option<u16> {
        ConcealedError::read(json.as_bytes()).map(|error| error.status)
    }

    #[test]
    fn an_error_has_the_status_that_it_names_or_means() {
        for (json, status) in [
            (r#"{"error":{"message":"x","code":429}}"#, 429),
            (r#"{"error":{"message":"x","code":"503"}}"#, 503),
            (r#"{"error":{"message":"x","type":"rate_limit_error"}}"#, 429),
            (r#"{"error":{"message":"x","type":"error","code":"insufficient_quota"}}"#, 429),
            (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, 503),
            (r#"{"error":{"message":"x","type":"invalid_request_error","code":null}}"#, 400),
            (r#"{"error":{"message":"x","code":7}}"#, 502),
            (r#"{"error":"out of memory"}"#, 502),
        ] {
            assert_eq!(status_of(json), Some(status), "{json}");
        }
    }

    #[test]
    fn an_answer_is_no_error() {
        for json in [
            r#"{"choices":[{"delta":{"content":"{\"error\":1}"}}]}"#,
            r#"{"id":"x","choices":[],"error":{"code":500}}"#,
            r#"{"data":[],"error":null}"#,
            r#"{"error":null}"#,
            r#"{"error":""}"#,
            r#"{"error":false}"#,
            "[DONE]",
            "[{\"error\":{}}]",
            "",
            "{\"error\":{",
        ] {
            assert_eq!(status_of(json), None, "{json}");
        }
    }
}
