//! In the builds of the tests, a request can say that the VM is to trap while it is under way.

use weir_core::Head;

/// A point in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Nothing has been reserved.
    Head,
    /// The reservation stands, and the request is not sent yet.
    Admitted,
    /// The answer has begun.
    Answer,
}

/// Where a request asks for a trap.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trap(Option<Point>);

impl Trap {
    pub(crate) fn read(head: &Head<'_>) -> Self {
        Self(match head.text(HEADER) {
            Some("head") => Some(Point::Head),
            Some("admitted") => Some(Point::Admitted),
            Some("answer") => Some(Point::Answer),
            Some(_) | None => None,
        })
    }

    /// Traps, if the request asks for it here. Nothing of the VM runs afterwards, destructors neither.
    pub(crate) fn at(self, point: Point) {
        if self.0 == Some(point) {
            std::process::abort();
        }
    }
}

const HEADER: &str = "weir-test-trap";
