use proptest::prelude::*;

use super::*;

/// An event that owns its parts, to compare with.
#[derive(Clone, Debug, Default, PartialEq)]
struct Owned {
    event: Option<Vec<u8>>,
    data: Vec<u8>,
    id: Option<Vec<u8>>,
    retry: Option<u64>,
}

/// The events of a stream; checks that nothing of the stream is lost.
fn events(chunks: &[&[u8]]) -> Vec<Owned> {
    let mut framer = SseFramer::new(1 << 20);
    let (mut events, mut raw) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let fed = framer.feed(chunk, |frame| {
            raw.extend_from_slice(frame.raw());
            if let SseFrame::Event(SseEvent { event, data, id, retry, raw: _ }) = frame {
                events.push(Owned {
                    event: event.map(<[u8]>::to_vec),
                    data: data.to_vec(),
                    id: id.map(<[u8]>::to_vec),
                    retry,
                });
            }
        });
        assert_eq!(fed, Ok(()));
    }
    raw.extend_from_slice(framer.pending());
    assert_eq!(raw, chunks.concat());
    events
}

fn data(stream: &str) -> Vec<String> {
    let whole = events(&[stream.as_bytes()]);
    assert_eq!(events(&stream.as_bytes().chunks(1).collect::<Vec<_>>()), whole, "{stream:?} in bytes");
    whole.into_iter().map(|event| String::from_utf8(event.data).unwrap()).collect()
}

#[test]
fn a_blank_line_ends_an_event_however_lines_end() {
    for (stream, expected) in [
        ("", &[][..]),
        ("data: a\n\n", &["a"]),
        ("data: a\r\n\r\n", &["a"]),
        ("data: a\r\r", &["a"]),
        ("data: a\n\r", &["a"]),
        ("data: a\r\n\n", &["a"]),
        ("data: a\n\r\ndata: b\r\r\n\ndata: c\r\r", &["a", "b", "c"]),
        ("\r\n\n\rdata: a\n\n\n\n", &["a"]),
        ("data: a\r\n", &[]),
        ("data: a\n\ndata: b", &["a"]),
        ("data: a\n\ndata: b\n", &["a"]),
    ] {
        assert_eq!(data(stream), expected, "{stream:?}");
    }
}

#[test]
fn data_is_joined_and_loses_one_leading_space() {
    for (stream, expected) in [
        ("data: a\ndata:b\ndata:  c\n\n", &["a\nb\n c"][..]),
        ("data\n\n", &[""]),
        ("data:\n\n", &[""]),
        ("data\ndata\n\n", &["\n"]),
        ("data: a:b: c\n\n", &["a:b: c"]),
        ("data : a\nDATA: b\n data: c\ndata2: d\n\n", &[]),
        (": comment\ndata: a\n:data: b\n\n", &["a"]),
        (":\n\n", &[]),
        ("event: x\n\n", &[]),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["a"]),
        ("\u{feff}\ndata: a\n\n", &["a"]),
        ("\u{feff}\u{feff}data: a\n\n", &[]),
        ("data: é🦀\n\n", &["é🦀"]),
    ] {
        assert_eq!(data(stream), expected, "{stream:?}");
    }
}

#[test]
fn the_other_fields_of_an_event_follow_their_rules() {
    for (fields, event, id, retry) in [
        ("event: ping\nid: 7\nretry: 0100\n", Some("ping"), Some("7"), Some(100)),
        ("event: a\nevent: b\nid: 1\nid: 2\n", Some("b"), Some("2"), None),
        ("event: a\nevent\nid: 1\nid\n", None, Some(""), None),
        ("id: 1\nid: a\0b\n", None, Some("1"), None),
        (
            "retry: 5\nretry: -1\nretry: +1\nretry: 1.5\nretry\nretry: 99999999999999999999\n",
            None,
            None,
            Some(5),
        ),
    ] {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let expected = Owned { event: event.map(bytes), data: b"x".into(), id: id.map(bytes), retry };
        assert_eq!(events(&[format!("{fields}data: x\n\n").as_bytes()]), [expected], "{fields:?}");
    }
}

#[test]
fn every_frame_is_handed_over_with_its_bytes() {
    let stream = b": hi\n\nid: 1\r\ndata: a\r\n\r\n\ndata: b\r\rdata: c";
    let mut raw = Vec::new();
    let mut framer = SseFramer::new(100);
    framer
        .feed(stream, |frame| raw.push((matches!(frame, SseFrame::Event(_)), frame.raw().to_vec())))
        .unwrap();
    let expected = [
        (false, &b": hi\n\n"[..]),
        (true, b"id: 1\r\ndata: a\r\n\r\n"),
        (false, b"\n"),
        (true, b"data: b\r\r"),
    ];
    assert_eq!(raw, expected.map(|(event, raw)| (event, raw.to_vec())));
    assert_eq!(framer.pending(), b"data: c");
}

#[test]
fn a_line_feed_that_comes_later_does_not_delay_its_event() {
    let mut framer = SseFramer::new(100);
    let mut raw = Vec::new();
    for (chunk, expected) in [(&b"data: a\r\n\r"[..], &b"data: a\r\n\r"[..]), (b"\n", b"\n"), (b"\n", b"\n")]
    {
        framer.feed(chunk, |frame| raw.extend_from_slice(frame.raw())).unwrap();
        assert_eq!(raw, expected);
        raw.clear();
    }
}

#[test]
fn a_frame_longer_than_the_limit_is_refused_and_nothing_is_lost() {
    let long = Err(EventTooLong { limit: 10 });
    for ending in ["\n\n", "\r\r", "\n\r\n"] {
        let stream = format!("data: a{ending}data: ab{ending}data: abc{ending}data: d{ending}");
        for size in 1..=stream.len() {
            let mut framer = SseFramer::new(10);
            let (mut events, mut raw, mut failed) = (Vec::new(), Vec::new(), false);
            for chunk in stream.as_bytes().chunks(size) {
                let fed = framer.feed(chunk, |frame| {
                    raw.extend_from_slice(frame.raw());
                    if let SseFrame::Event(event) = frame {
                        events.push(event.data.to_vec());
                    }
                });
                if failed {
                    assert_eq!(fed, long);
                    raw.extend_from_slice(chunk);
                } else if fed.is_err() {
                    failed = true;
                    raw.extend_from_slice(framer.pending());
                }
            }
            assert_eq!(
                (failed, &events[..]),
                (true, &[b"a".to_vec(), b"ab".to_vec()][..]),
                "{ending:?} {size}"
            );
            assert_eq!(raw, stream.as_bytes(), "{ending:?} {size}");
        }
    }
}

/// A line's text: no line ending, since that would end it.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![prop::sample::select(&b" :ad\xff\xc3"[..]), any::<u8>()];
    prop::collection::vec(byte.prop_filter("no ending", |byte| !b"\r\n".contains(byte)), 0..8)
}

/// An event and the lines of its data; none of these, no event.
fn block() -> impl Strategy<Value = (Vec<Vec<u8>>, Owned)> {
    let name = line().prop_filter("a name", |name| !name.is_empty());
    let id = line().prop_filter("no NUL", |id| !id.contains(&0));
    let lines = prop::collection::vec(line(), 0..4);
    (lines, prop::option::of(name), prop::option::of(id), prop::option::of(any::<u64>())).prop_map(
        |(lines, event, id, retry)| (lines.clone(), Owned { event, data: lines.join(&b'\n'), id, retry }),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_events_that_were_written_are_read_however_lines_end_and_chunks_are_cut(
        blocks in prop::collection::vec(block(), 0..6),
        comment in line(),
        endings in prop::collection::vec(prop::sample::select(&["\n", "\r", "\r\n"][..]), 1..40),
        mark in any::<bool>(),
        tail in line(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut lines = Vec::new();
        let mut expected = Vec::new();
        for (data, event) in blocks {
            lines.extend(event.event.iter().map(|name| [b"event: ", &name[..]].concat()));
            lines.push([b":", &comment[..]].concat());
            lines.extend(data.iter().map(|line| [b"data: ", &line[..]].concat()));
            lines.extend(event.id.iter().map(|id| [b"id: ", &id[..]].concat()));
            lines.extend(event.retry.iter().map(|retry| format!("retry:{retry}").into_bytes()));
            lines.push(Vec::new());
            expected.extend(Some(event).filter(|_| !data.is_empty()));
        }
        let mut stream = if mark { BYTE_ORDER_MARK.to_vec() } else { Vec::new() };
        for (line, ending) in lines.iter().zip(endings.iter().cycle()) {
            // A line feed after a carriage return would be one ending with it, not a blank line.
            let ending = if line.is_empty() && stream.ends_with(b"\r") { "\r" } else { ending };
            stream.extend_from_slice(line);
            stream.extend_from_slice(ending.as_bytes());
        }
        stream.extend_from_slice(&tail);

        let mut rest = &stream[..];
        let mut chunks = Vec::new();
        for place in cuts {
            let (chunk, tail) = rest.split_at(place % (rest.len() + 1));
            chunks.push(chunk);
            rest = tail;
        }
        chunks.push(rest);
        prop_assert_eq!(events(&chunks), expected);
    }
}
