//! A proxy that plays a script: tests give it messages and read what the host asked of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use weir_core::{Level, MetricKind};

use crate::abi::{Abi, BufferKind, MapKind, Status, StreamSide};
use crate::map;

/// What the host asked the proxy to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    SetField(MapKind, String, String),
    RemoveField(MapKind, String),
    ReplaceStart(BufferKind, usize, Vec<u8>),
    SetProperty(String, Vec<u8>),
    Increment(u32, i64),
    Call(u32, String),
    Resume(u32, StreamSide),
    Reply(u32, u32),
    Close,
    Log(String),
}

#[derive(Clone, Default)]
pub(crate) struct Recorder(Rc<Script>);

#[derive(Default)]
pub(crate) struct Script {
    pub(crate) maps: RefCell<BTreeMap<MapKind, Vec<u8>>>,
    pub(crate) buffers: RefCell<BTreeMap<BufferKind, Vec<u8>>>,
    pub(crate) fetched: RefCell<Vec<(BufferKind, usize, usize)>>,
    pub(crate) asked: RefCell<Vec<Asked>>,
    /// What setting a header field answers.
    pub(crate) field_status: Cell<Option<Status>>,
    /// Clusters that are not known.
    pub(crate) unknown_clusters: Cell<bool>,
    pub(crate) broken_replies: Cell<bool>,
    effective: Cell<u32>,
    tokens: Cell<u32>,
}

impl Recorder {
    pub(crate) fn script(&self) -> &Script {
        &self.0
    }

    pub(crate) fn give_map(&self, kind: MapKind, fields: &[(&str, &str)]) {
        let bytes = map::encode(fields.iter().copied()).unwrap();
        self.0.maps.borrow_mut().insert(kind, bytes);
    }

    pub(crate) fn give_buffer(&self, kind: BufferKind, bytes: &[u8]) -> usize {
        self.0.buffers.borrow_mut().insert(kind, bytes.to_vec());
        bytes.len()
    }

    /// What was asked since the last look, log lines aside.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.0.asked.take();
        asked.into_iter().filter(|asked| !matches!(asked, Asked::Log(_))).collect()
    }

    /// What the proxy does before each callback.
    pub(crate) fn enter(&self, context: u32) {
        self.0.effective.set(context);
    }

    fn ask(&self, asked: Asked) -> Result<(), Status> {
        self.0.asked.borrow_mut().push(asked);
        Ok(())
    }
}

impl Abi for Recorder {
    fn now(&self) -> u64 {
        0
    }

    fn log(&self, _: Level, line: &str) {
        self.0.asked.borrow_mut().push(Asked::Log(line.to_owned()));
    }

    fn map(&self, kind: MapKind) -> Result<Vec<u8>, Status> {
        self.0.maps.borrow().get(&kind).cloned().ok_or(Status::BadArgument)
    }

    fn set_field(&self, kind: MapKind, name: &str, value: &str) -> Result<(), Status> {
        match self.0.field_status.get() {
            Some(status) => Err(status),
            None => self.ask(Asked::SetField(kind, name.to_owned(), value.to_owned())),
        }
    }

    fn remove_field(&self, kind: MapKind, name: &str) -> Result<(), Status> {
        self.ask(Asked::RemoveField(kind, name.to_owned()))
    }

    fn buffer(&self, kind: BufferKind, start: usize, len: usize) -> Result<Vec<u8>, Status> {
        self.0.fetched.borrow_mut().push((kind, start, len));
        let buffers = self.0.buffers.borrow();
        let bytes = buffers.get(&kind).ok_or(Status::NotFound)?;
        bytes.get(start..start.saturating_add(len)).map(<[u8]>::to_vec).ok_or(Status::BadArgument)
    }

    fn replace_buffer_start(&self, kind: BufferKind, len: usize, with: &[u8]) -> Result<(), Status> {
        self.ask(Asked::ReplaceStart(kind, len, with.to_vec()))
    }

    fn property(&self, _: &[&str]) -> Result<Option<Vec<u8>>, Status> {
        Ok(None)
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), Status> {
        self.ask(Asked::SetProperty(name.to_owned(), value.to_vec()))
    }

    fn shared(&self, _: &str) -> Result<Option<(Vec<u8>, u32)>, Status> {
        Ok(None)
    }

    fn set_shared(&self, _: &str, _: &[u8], _: u32) -> Result<(), Status> {
        Err(Status::CasMismatch)
    }

    fn define_metric(&self, _: MetricKind, _: &str) -> Result<u32, Status> {
        Ok(7)
    }

    fn increment_metric(&self, metric: u32, by: i64) -> Result<(), Status> {
        self.ask(Asked::Increment(metric, by))
    }

    fn record_metric(&self, _: u32, _: u64) -> Result<(), Status> {
        Err(Status::NotFound)
    }

    fn set_tick_period(&self, _: u32) -> Result<(), Status> {
        Ok(())
    }

    fn call(&self, cluster: &str, _: &[u8], _: &[u8], _: u32) -> Result<u32, Status> {
        if self.0.unknown_clusters.get() {
            return Err(Status::BadArgument);
        }
        self.ask(Asked::Call(self.0.effective.get(), cluster.to_owned()))?;
        self.0.tokens.set(self.0.tokens.get().saturating_add(1));
        Ok(self.0.tokens.get())
    }

    fn set_effective_context(&self, context: u32) -> Result<(), Status> {
        self.0.effective.set(context);
        Ok(())
    }

    fn resume(&self, side: StreamSide) -> Result<(), Status> {
        self.ask(Asked::Resume(self.0.effective.get(), side))
    }

    fn reply(&self, status: u32, _: &str, _: &[u8], _: &[u8]) -> Result<(), Status> {
        if self.0.broken_replies.get() {
            return Err(Status::Other(10));
        }
        self.ask(Asked::Reply(self.0.effective.get(), status))
    }

    fn close(&self, _: StreamSide) -> Result<(), Status> {
        self.ask(Asked::Close)
    }
}
