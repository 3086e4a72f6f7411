use proptest::prelude::*;

use super::*;

const MEDIA: &[u8] = b"multipart/form-data; boundary=\"--x\"";

fn scanned(media: &[u8], body: &[u8], cuts: &[usize]) -> Result<Option<Member<String>>, FormError> {
    let mut scan = FormScan::new(media).unwrap();
    let mut start = 0;
    for cut in cuts.iter().map(|cut| (*cut).min(body.len())).chain([body.len()]) {
        scan.feed(&body[start..cut.max(start)])?;
        start = cut.max(start);
    }
    scan.finish()?;
    assert_eq!(scan.bytes(), body.len() as u64);
    Ok(scan.model().cloned())
}

fn part(disposition: &str, content: &str) -> String {
    format!("----x\r\nContent-Disposition: {disposition}\r\n\r\n{content}\r\n")
}

fn form(parts: &[(&str, &str)]) -> Vec<u8> {
    let parts: String = parts.iter().map(|(disposition, content)| part(disposition, content)).collect();
    format!("{parts}----x--\r\n").into_bytes()
}

const FILE: (&str, &str) = ("form-data; name=\"file\"; filename=\"a.wav\"", "\r\n----\r\n--\0\u{ff}--");
const MODEL: (&str, &str) = ("form-data; name=\"model\"", "whisper-1");

proptest! {
    #[test]
    fn chunking_never_changes_what_is_read(mut cuts in prop::collection::vec(0_usize..300, 0..6)) {
        cuts.sort_unstable();
        let body = form(&[FILE, MODEL, ("form-data; name=language", "en")]);
        let start = String::from_utf8_lossy(&body).find("whisper-1").unwrap();
        let member = Member { value: "whisper-1".into(), span: (start as u64)..(start as u64 + 9) };
        prop_assert_eq!(&body[start..start + 9], b"whisper-1");
        prop_assert_eq!(scanned(MEDIA, &body, &cuts), Ok(Some(member)));
    }

    #[test]
    fn chunking_never_changes_what_is_refused(mut cuts in prop::collection::vec(0_usize..300, 0..6)) {
        cuts.sort_unstable();
        let body = form(&[MODEL, FILE, MODEL]);
        let second = String::from_utf8_lossy(&body).rfind("\r\nContent-Disposition").unwrap() as u64 + 2;
        prop_assert_eq!(scanned(MEDIA, &body, &cuts), Err(FormError::DuplicateModel { offset: second }));
    }
}

#[test]
fn a_form_without_a_model_has_none() {
    assert_eq!(scanned(MEDIA, &form(&[FILE]), &[]), Ok(None));
    assert_eq!(scanned(MEDIA, b"----x--", &[]), Ok(None));
}

#[test]
fn what_parsers_may_read_otherwise_is_refused() {
    let header = |text: &str| format!("----x\r\n{text}\r\n\r\nwhisper\r\n----x--\r\n").into_bytes();
    for ambiguous in [
        "Content-Disposition: form-data; name=\"model\"; name=\"x\"",
        "Content-Disposition: form-data; name=\"x\"; name*=utf-8''model",
        "Content-Disposition: form-data; name*0=\"mo\"; name*1=\"del\"",
        "Content-Disposition: form-data; name=\"Model\"",
        "Content-Disposition: form-data; name=\" model\"",
        "Content-Disposition: form-data; name=\"mo\\del\"",
        "Content-Disposition: form-data; name=\"m%6fdel\"",
        "Content-Disposition: form-data; name=\"model\"; filename=\"a\"",
        "Content-Disposition: form-data; name=\"x\"; filename=\"a\\\"; name=model; y=\\\"b\"",
        "Content-Disposition: form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"model\"",
        "Content-Disposition: form-data;\r\n name=\"model\"",
        "Content-Disposition: form-data; name=\"x\"\nContent-Disposition: form-data; name=\"model\"",
        "Content-Disposition: attachment; name=\"model\"",
        "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
        "Content-Type: text/plain",
        "----x",
    ] {
        let refused = scanned(MEDIA, &header(ambiguous), &[]);
        assert_eq!(refused, Err(FormError::Header { offset: 7 }), "{ambiguous}");
    }
}

#[test]
fn a_boundary_that_is_no_delimiter_is_refused() {
    for (body, error) in [
        ("preamble\r\n----x--", FormError::NotForm { offset: 0 }),
        ("----x--\r\n----x", FormError::NotForm { offset: 7 }),
        ("----x \r\n", FormError::Boundary { offset: 5 }),
        ("----x\nC", FormError::Boundary { offset: 5 }),
        ("----x", FormError::Incomplete),
        ("----x\r\n", FormError::Incomplete),
    ] {
        assert_eq!(scanned(MEDIA, body.as_bytes(), &[]), Err(error), "{body:?}");
    }
    let smuggled = [
        "a\n----x\nContent-Disposition: form-data; name=\"model\"\n\nsecret\n----x--\r\n",
        "a----x\r\n",
        "a\r----x\r\n",
    ];
    for content in smuggled {
        let body = form(&[MODEL, ("form-data; name=\"file\"", content)]);
        assert!(matches!(scanned(MEDIA, &body, &[]), Err(FormError::Boundary { .. })), "{content:?}");
    }
}

#[test]
fn a_model_is_a_short_text() {
    let long = "m".repeat(257);
    let too_long = Err(FormError::ModelTooLong { limit: 256 });
    assert_eq!(scanned(MEDIA, &form(&[(MODEL.0, &long)]), &[]), too_long);
    let endless = [&form(&[])[..0], part(MODEL.0, &"m".repeat(9000)).as_bytes()].concat();
    assert_eq!(scanned(MEDIA, &endless, &[]), too_long);
    let mut binary = part(MODEL.0, "").into_bytes();
    let at = binary.len() - 2;
    binary.insert(at, 0xff);
    binary.extend_from_slice(b"----x--");
    assert_eq!(scanned(MEDIA, &binary, &[]), Err(FormError::ModelNotText));
}

#[test]
fn a_file_is_never_held() {
    let mut scan = FormScan::new(MEDIA).unwrap();
    scan.feed(part(FILE.0, "").trim_end().as_bytes()).unwrap();
    scan.feed(b"\r\n\r\n").unwrap();
    for _ in 0..100 {
        scan.feed(&[b'-'; 1000]).unwrap();
        assert!(scan.held.len() < 10);
    }
    let mut headed = FormScan::new(MEDIA).unwrap();
    headed.feed(b"----x\r\n").unwrap();
    assert_eq!(headed.feed(&[b'a'; 9000]), Err(FormError::Header { offset: 7 }));
}

#[test]
fn a_boundary_is_plain_and_said_once() {
    for media in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=\"a b\"",
        "multipart/form-data; boundary=a; boundary*=b",
        "multipart/mixed; boundary=a",
        "multipart/form-data; boundary=\"a\\\"b\"",
    ] {
        assert!(FormScan::new(media.as_bytes()).is_none(), "{media}");
    }
    assert!(
        FormScan::new(b"multipart/form-data; charset=utf-8; Boundary=----WebKitFormBoundary7MA4YW").is_some()
    );
}
