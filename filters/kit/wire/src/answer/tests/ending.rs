use super::*;

const CHUNK: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
const OTHER: &str = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}}]}\n\n";
const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const BROKEN: &str = concat!(
    "data: {\"error\":{\"message\":\"The upstream's answer has ended before it was complete.\",",
    "\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_incomplete\"}}\n\n",
);

/// What is added to a stream that ends after this; also whether it then counts as broken.
fn added(ending: Ending, stream: &str) -> (String, bool) {
    let mut way = Pipeline::new(Terms { ending: Some(ending), ..Terms::default() });
    assert_eq!(way.feed(stream.as_bytes(), false), None);
    let added = String::from_utf8(way.feed(b"", true).unwrap_or_default()).unwrap();
    (added, way.is_broken())
}

#[test]
fn chunks_that_break_off_end_with_an_error() {
    let broken = (BROKEN.to_owned(), true);
    for stream in [CHUNK.to_owned(), format!(": still here\n\n{CHUNK}"), format!("{CHUNK}{OTHER}{STOP}")] {
        assert_eq!(added(Ending::Chunks, &stream), broken, "{stream}");
    }
}

#[test]
fn chunks_that_have_said_that_they_end_are_whole() {
    let error = "data: {\"error\":{\"message\":\"Busy.\"}}\n\n";
    for end in ["data: [DONE]\n\n", STOP, error, "event: error\ndata: {\"error\":\"busy\"}\n\n"] {
        assert_eq!(added(Ending::Chunks, &format!("{CHUNK}{end}")), (String::new(), false), "{end}");
    }
    // No event has come, so there is nothing to break off.
    assert_eq!(added(Ending::Chunks, ": still here\n\n"), (String::new(), false));
    let none = "data: {\"choices\":[],\"error\":null}\n\ndata: {\"error\":\"\"}\n\n";
    assert_eq!(added(Ending::Chunks, none), (BROKEN.to_owned(), true));
}

#[test]
fn messages_and_responses_that_break_off_end_with_an_error_of_their_own() {
    let started = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    let message = "The upstream's answer has ended before it was complete.";
    let error = format!(
        "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"api_error\",\"message\":\"{message}\"}}}}\n\n"
    );
    assert_eq!(added(Ending::Messages, started), (error, true));
    for end in
        ["{\"type\":\"message_stop\"}", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}"]
    {
        assert_eq!(added(Ending::Messages, &format!("{started}data: {end}\n\n")), (String::new(), false));
    }
    let created = "data: {\"type\":\"response.created\",\"sequence_number\":6,\"response\":{}}\n\n";
    let error = format!(
        "event: error\ndata: {{\"type\":\"error\",\"code\":\"upstream_incomplete\",\"message\":\"{message}\",\
         \"param\":null,\"sequence_number\":7}}\n\n"
    );
    assert_eq!(added(Ending::Responses, created), (error, true));
    for end in ["completed", "incomplete", "failed"] {
        let end = format!("{created}data: {{\"type\":\"response.{end}\",\"response\":{{}}}}\n\n");
        assert_eq!(added(Ending::Responses, &end), (String::new(), false));
    }
}

#[test]
fn a_stream_of_which_no_end_is_known_just_ends() {
    let mut way = Pipeline::new(Terms::default());
    assert_eq!((way.feed(CHUNK.as_bytes(), true), way.is_broken()), (None, false));
    assert_eq!(Ending::at(&crate::openai::Endpoint::Speech), None);
}

#[test]
fn an_event_that_lacks_its_blank_line_is_read_and_a_part_of_one_gives_way_to_the_error() {
    let terms = Terms { model: Some("\"index\"".into()), ending: Some(Ending::Chunks), ..Terms::default() };
    let (head, last) = (CHUNK, "data: {\"model\":\"up\",\"choices\":[{\"finish_reason\":\"stop\"}]}\n");
    let whole = format!("{head}{last}");
    let part = format!("{head}data: {{\"model\":\"u");
    for cut in 1..whole.len() {
        let (start, end) = whole.as_bytes().split_at(cut);
        assert_eq!(stream(&terms, &[start, end]).0, whole.replace("\"up\"", "\"index\""), "{cut}");
    }
    for cut in 1..part.len() {
        let (start, end) = part.as_bytes().split_at(cut);
        assert_eq!(stream(&terms, &[start, end]).0, format!("{head}{BROKEN}"), "{cut}");
    }
    let done = format!("{head}data: [DONE]");
    assert_eq!(stream(&terms, &[done.as_bytes()]).0, done);
}
