//! The request scanner against serde_json: whole and in chunks it says the same, what it accepts is JSON, and
//! the model it reports is the one another parser reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use weir_wire::{Member, RequestScan, ScanError};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, body) = input;
    let whole = scan([body]);
    assert_eq!(scan(body.chunks(usize::from(size).max(1))), whole);
    let value = serde_json::from_slice::<Value>(body);
    match whole {
        Ok((model, _, _)) => {
            assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok());
            let span = model.as_ref().map(|model| model.span.start as usize..model.span.end as usize);
            let model = model.map(|model| model.value);
            let literal = span.map(|span| serde_json::from_slice::<String>(&body[span]).unwrap());
            assert_eq!(literal, model);
            // A value that only another parser takes, such as half a surrogate pair, is not compared.
            if let Ok(value) = value {
                assert_eq!(value["model"].as_str(), model.as_deref());
            }
        }
        Err(ScanError::NotJson { .. } | ScanError::Incomplete) => assert!(value.is_err()),
        Err(ScanError::NotObject) => assert!(value.map_or(true, |value| !value.is_object())),
        // A fault may come later.
        Err(
            ScanError::TooDeep { .. }
            | ScanError::DuplicateModel { .. }
            | ScanError::ModelNotString
            | ScanError::ModelTooLong { .. },
        ) => {}
    }
});

type Answer = (Option<Member<String>>, Option<bool>, Option<u64>);

fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Answer, ScanError> {
    let mut scan = RequestScan::new();
    chunks.into_iter().try_for_each(|chunk| scan.feed(chunk))?;
    scan.finish()?;
    Ok((scan.model().cloned(), scan.stream(), scan.max_tokens()))
}
