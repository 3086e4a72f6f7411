use core::fmt::{self, Write};
use std::io;

use handlebars::Output;

use crate::fault::RenderProblem;
use crate::template::Limits;

/// Writes a value behind what has been written.
pub(crate) type Encode<'a> = &'a mut dyn FnMut(&str, &mut String);

/// What a template has written so far, up to a limit.
///
/// Handlebars writes text with [`Output::write`]; [`crate::block::Print`] writes values with
/// [`Output::write_fmt`], so the two can be told apart. An empty text says that a block begins anew: nothing
/// else writes one.
pub(crate) struct Sink<'a> {
    text: String,
    limits: Limits,
    iterations: usize,
    encode: Option<Encode<'a>>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(limits: Limits, encode: Option<Encode<'a>>) -> Self {
        Self { text: String::new(), limits, iterations: 0, encode }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn too_long(&self) -> io::Error {
        RenderProblem::TooLong { limit: self.limits.output_bytes }.into_io()
    }
}

impl Output for Sink<'_> {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            self.iterations = self.iterations.saturating_add(1);
            let limit = self.limits.iterations;
            if self.iterations > limit {
                return Err(RenderProblem::TooManyIterations { limit }.into_io());
            }
            return Ok(());
        }
        let mut bounded = Bounded { text: &mut self.text, limit: self.limits.output_bytes };
        bounded.write_str(text).map_err(|_| self.too_long())
    }

    fn write_fmt(&mut self, value: fmt::Arguments<'_>) -> io::Result<()> {
        let limit = self.limits.output_bytes;
        match self.encode.as_mut() {
            None => {
                let mut bounded = Bounded { text: &mut self.text, limit };
                bounded.write_fmt(value).map_err(|_| self.too_long())
            }
            Some(encode) => {
                let mut plain = String::new();
                let mut bounded = Bounded { text: &mut plain, limit };
                if bounded.write_fmt(value).is_ok() {
                    encode(&plain, &mut self.text);
                    if self.text.len() <= limit {
                        return Ok(());
                    }
                }
                Err(self.too_long())
            }
        }
    }
}

/// A text that does not grow beyond its limit.
pub(crate) struct Bounded<'a> {
    pub(crate) text: &'a mut String,
    pub(crate) limit: usize,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.text.len().saturating_add(more.len()) > self.limit {
            return Err(fmt::Error);
        }
        self.text.push_str(more);
        Ok(())
    }
}
