use std::borrow::Cow;
use std::cell::RefCell;

use serde::Deserialize;
use weir_core::{Call, CallId, Metric, Owner};

use super::*;
use crate::abi::StreamSide;
use crate::recorder::{Asked, Recorder};

/// A filter whose streams do what the request's path says, so that a test reads as one script.
struct Puppet {
    waiting: RefCell<Vec<StreamId>>,
}

struct Strings {
    filter: Rc<Puppet>,
    id: StreamId,
    told: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PuppetConfig {
    #[serde(default)]
    names: Vec<String>,
}

const SEEN: Metric = Metric::counter("weir.puppet.seen_total");

impl Filter for Puppet {
    const NAME: &'static str = "puppet";
    const METRICS: &'static [Metric] = &[SEEN];
    type Config = PuppetConfig;
    type Stream = Strings;

    fn new(config: PuppetConfig) -> Result<Self, ConfigError> {
        match config.names.iter().position(String::is_empty) {
            Some(empty) => Err(ConfigError { field: format!("names[{empty}]"), problem: "is empty" }),
            None => Ok(Self { waiting: RefCell::default() }),
        }
    }

    fn stream(self: &Rc<Self>, id: StreamId) -> Strings {
        Strings { filter: Rc::clone(self), id, told: Vec::new() }
    }

    fn on_call_done(&self, cx: &mut Cx<'_>, _: CallId, _: Result<Answer<'_>, CallError>) {
        self.waiting.take().into_iter().for_each(|stream| cx.wake(stream));
    }
}

impl Strings {
    fn call(owner: Owner) -> Call {
        Call {
            id: CallId(1),
            owner,
            cluster: "keys".into(),
            headers: vec![(Cow::Borrowed(":path"), "/".into())],
            body: Vec::new(),
            timeout_ms: 100,
            max_answer_bytes: 10,
        }
    }
}

impl Stream for Strings {
    fn on_request_head(&mut self, cx: &mut Cx<'_>, head: &Head<'_>) -> Flow {
        match head.text(":path") {
            Some("/wait") => Flow::Wait,
            Some("/wait-reading") => {
                cx.read(Part::RequestBody);
                Flow::Wait
            }
            Some("/read") => {
                cx.read(Part::RequestBody);
                Flow::Continue
            }
            Some("/set") => {
                cx.count(SEEN);
                cx.set_request_header("x-a", "b");
                Flow::Continue
            }
            Some("/call") => {
                cx.call(Self::call(Owner::Stream));
                Flow::Wait
            }
            Some("/call-filter") => {
                if self.filter.waiting.borrow().is_empty() {
                    cx.call(Self::call(Owner::Filter));
                }
                self.filter.waiting.borrow_mut().push(self.id);
                Flow::Wait
            }
            _ => Flow::Continue,
        }
    }

    fn on_request_body(&mut self, cx: &mut Cx<'_>, chunk: &[u8], _: bool) -> Flow {
        self.told.push(chunk.to_vec());
        if chunk.ends_with(b"!") {
            let len: usize = self.told.iter().map(Vec::len).sum();
            cx.replace_body(Side::Request, len.saturating_sub(1)..len, "?");
            cx.replace_body(Side::Request, 0..1, "[]");
            return Flow::Continue;
        }
        Flow::Wait
    }

    fn on_call_done(&mut self, _: &mut Cx<'_>, _: CallId, outcome: Result<Answer<'_>, CallError>) -> Flow {
        match outcome {
            Ok(Answer { status: 200, body: b"yes", .. }) => Flow::Continue,
            Ok(_) | Err(_) => Flow::Reply(Reply { status: 401, ..Reply::fault() }),
        }
    }

    fn on_wake(&mut self, _: &mut Cx<'_>) -> Flow {
        Flow::Continue
    }

    fn on_end(&mut self, cx: &mut Cx<'_>) {
        cx.publish("weir.end", "told");
    }
}

const ROOT: u32 = 1;
const STREAM: u32 = 2;

struct Stage {
    vm: Vm<Puppet, Recorder>,
    proxy: Recorder,
}

impl Stage {
    fn set() -> Self {
        let proxy = Recorder::default();
        let vm = Vm::new(proxy.clone(), true);
        vm.on_context_create(ROOT, 0);
        assert!(vm.on_configure(ROOT, proxy.give_buffer(BufferKind::PluginConfiguration, b"{}")));
        Self { vm, proxy }
    }

    fn request(&self, stream: u32, path: &str) -> Action {
        self.proxy.enter(stream);
        self.proxy.give_map(MapKind::RequestHead, &[(":path", path)]);
        self.vm.on_context_create(stream, ROOT);
        self.vm.on_request_head(stream, false)
    }

    fn body(&self, held: &[u8]) -> Action {
        self.vm.on_request_body(STREAM, self.proxy.give_buffer(BufferKind::RequestBody, held), false)
    }

    /// The proxy tells the plugin of an answer, also where a stream has made the call.
    fn answer(&self, token: u32, status: &str, body: &[u8]) {
        self.proxy.enter(ROOT);
        self.proxy.give_map(MapKind::CallHead, &[(":status", status)]);
        let size = self.proxy.give_buffer(BufferKind::CallBody, body);
        self.vm.on_call_done(token, 1, size);
    }
}

#[test]
fn a_stream_that_waits_holds_body_and_trailers_too() {
    let stage = Stage::set();
    assert_eq!(stage.request(STREAM, "/wait"), Action::Pause);
    assert_eq!(stage.body(b"attack"), Action::Pause);
    assert_eq!(stage.vm.on_request_trailers(STREAM), Action::Pause);
    assert_eq!(stage.proxy.script().fetched.take(), [(BufferKind::PluginConfiguration, 0, 2)]);
}

#[test]
fn a_body_nobody_reads_is_not_fetched() {
    let stage = Stage::set();
    assert_eq!(stage.request(STREAM, "/"), Action::Continue);
    stage.proxy.script().fetched.take();
    assert_eq!(stage.body(b"chunk"), Action::Continue);
    assert_eq!(stage.vm.on_response_head(STREAM, false), Action::Continue);
    assert_eq!(stage.vm.on_response_body(STREAM, 5, true), Action::Continue);
    assert_eq!(stage.proxy.script().fetched.take(), []);
}

#[test]
fn a_held_body_is_told_once_and_replaced_from_its_start() {
    let stage = Stage::set();
    assert_eq!(stage.request(STREAM, "/wait-reading"), Action::Pause);
    stage.proxy.script().fetched.take();
    assert_eq!(stage.body(b"abc"), Action::Pause);
    assert_eq!(stage.body(b"abcdef!"), Action::Continue);
    let body = BufferKind::RequestBody;
    assert_eq!(stage.proxy.script().fetched.take(), [(body, 0, 3), (body, 3, 4), (body, 0, 7)]);
    assert_eq!(stage.proxy.asked(), [Asked::ReplaceStart(body, 7, b"[]bcdef?".to_vec())]);
}

#[test]
fn a_call_lets_the_stream_flow_or_answers_it() {
    let stage = Stage::set();
    assert_eq!(stage.request(STREAM, "/call"), Action::Pause);
    assert_eq!(stage.proxy.asked(), [Asked::Call(STREAM, "keys".into())]);
    stage.answer(1, "200", b"yes");
    assert_eq!(stage.proxy.asked(), [Asked::Resume(STREAM, StreamSide::Request)]);
    assert_eq!(stage.body(b"flows"), Action::Continue);

    for (token, (status, body)) in
        (2..).zip([("200", &b"no"[..]), ("504", b"yes"), ("200", b"much too long")])
    {
        stage.request(token + 10, "/call");
        stage.proxy.asked();
        stage.answer(token, status, body);
        assert_eq!(stage.proxy.asked(), [Asked::Reply(token + 10, 401)]);
    }
}

#[test]
fn a_call_that_fails_or_answers_nonsense_is_a_value() {
    let stage = Stage::set();
    stage.request(STREAM, "/call");
    stage.proxy.asked();
    stage.vm.on_call_done(1, 0, 0);
    assert_eq!(stage.proxy.asked(), [Asked::Reply(STREAM, 401)]);
    stage.request(3, "/call");
    stage.proxy.asked();
    stage.answer(2, "many", b"yes");
    assert_eq!(stage.proxy.asked(), [Asked::Reply(3, 401)]);
    // A token nobody waits for, and one that was answered before.
    stage.answer(99, "200", b"yes");
    stage.answer(2, "200", b"yes");
    assert_eq!(stage.proxy.asked(), []);
}

#[test]
fn a_call_to_an_unknown_cluster_is_answered_in_the_same_callback() {
    let stage = Stage::set();
    stage.proxy.script().unknown_clusters.set(true);
    assert_eq!(stage.request(STREAM, "/call"), Action::Pause);
    assert_eq!(stage.proxy.asked(), [Asked::Reply(STREAM, 401)]);
    assert_eq!(stage.request(3, "/call-filter"), Action::Continue);
    assert_eq!(stage.proxy.asked(), []);
}

#[test]
fn one_call_of_the_filter_wakes_every_stream_that_waits_for_it() {
    let stage = Stage::set();
    for stream in [2, 3, 4] {
        assert_eq!(stage.request(stream, "/call-filter"), Action::Pause);
    }
    stage.vm.on_end(3);
    stage.vm.on_delete(3);
    assert_eq!(
        stage.proxy.asked(),
        [Asked::Call(ROOT, "keys".into()), Asked::SetProperty("weir.end".into(), b"told".to_vec())]
    );
    stage.answer(1, "200", b"yes");
    let resumed = [2, 4].map(|stream| Asked::Resume(stream, StreamSide::Request));
    assert_eq!(stage.proxy.asked(), resumed);
}

#[test]
fn a_fault_on_the_way_in_is_answered_and_nothing_more_passes() {
    let stage = Stage::set();
    stage.proxy.script().field_status.set(Some(Status::Other(10)));
    assert_eq!(stage.request(STREAM, "/set"), Action::Pause);
    assert_eq!(stage.proxy.asked(), [Asked::Increment(7, 1), Asked::Reply(STREAM, 503)]);
    assert_eq!(stage.body(b"attack"), Action::Pause);

    stage.proxy.enter(3);
    stage.vm.on_context_create(3, ROOT);
    stage.proxy.script().maps.borrow_mut().insert(MapKind::RequestHead, vec![9, 9]);
    assert_eq!(stage.vm.on_request_head(3, false), Action::Pause);
    assert_eq!(stage.proxy.asked(), [Asked::Reply(3, 503)]);

    stage.request(4, "/read");
    stage.proxy.script().buffers.borrow_mut().clear();
    assert_eq!(stage.vm.on_request_body(4, 5, false), Action::Pause);
    assert_eq!(stage.proxy.asked(), [Asked::Reply(4, 503)]);
}

#[test]
fn a_reply_that_cannot_be_sent_closes_the_stream() {
    let stage = Stage::set();
    stage.proxy.script().field_status.set(Some(Status::BadArgument));
    stage.proxy.script().broken_replies.set(true);
    assert_eq!(stage.request(STREAM, "/set"), Action::Pause);
    assert_eq!(stage.proxy.asked(), [Asked::Increment(7, 1), Asked::Close]);
}

#[test]
fn a_stream_without_a_configuration_is_answered_and_its_body_held() {
    let proxy = Recorder::default();
    let vm: Vm<Puppet, _> = Vm::new(proxy.clone(), true);
    vm.on_context_create(ROOT, 0);
    vm.on_context_create(STREAM, ROOT);
    proxy.enter(STREAM);
    assert_eq!(vm.on_request_head(STREAM, false), Action::Pause);
    assert_eq!(vm.on_request_body(STREAM, 5, true), Action::Pause);
    assert_eq!(vm.on_request_trailers(STREAM), Action::Pause);
    assert_eq!(proxy.asked(), [Asked::Reply(STREAM, 503)]);
}

#[test]
fn a_refused_configuration_names_the_field_and_leaves_the_running_one() {
    let stage = Stage::set();
    for (config, problem) in [
        (&br#"{"names": ["a", ""]}"#[..], "names[1]: is empty"),
        (
            br#"{"names": ["a", 5]}"#,
            "names[1]: invalid type: integer `5`, expected a string at line 1 column 17",
        ),
        (br#"{"nmaes": []}"#, "nmaes: unknown field `nmaes`, expected `names` at line 1 column 8"),
        (b"{} {}", "trailing characters at line 1 column 4"),
    ] {
        stage.proxy.script().asked.take();
        let size = stage.proxy.give_buffer(BufferKind::PluginConfiguration, config);
        assert!(!stage.vm.on_configure(ROOT, size));
        let line = format!("weir.puppet: configuration refused: {problem}");
        assert_eq!(stage.proxy.script().asked.take(), [Asked::Log(line)]);
    }
    assert_eq!(stage.request(STREAM, "/set"), Action::Continue);
}

#[test]
fn the_end_is_told_once() {
    let stage = Stage::set();
    stage.request(STREAM, "/");
    stage.vm.on_end(STREAM);
    assert!(stage.vm.on_done(STREAM));
    stage.vm.on_delete(STREAM);
    stage.vm.on_end(STREAM);
    assert_eq!(stage.proxy.asked(), [Asked::SetProperty("weir.end".into(), b"told".to_vec())]);
}
