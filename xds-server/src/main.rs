//! The `weir` command.

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

use clap::Parser;
use weir::cli::{Cli, Failure};

fn main() -> ExitCode {
    match Cli::parse().run(&mut io::stdout()) {
        Ok(code) => code,
        Err(failure) if is_broken_pipe(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            // A closed standard error is no reason to fail otherwise.
            drop(writeln!(io::stderr(), "weir: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether the reader of the output, such as `head`, has had enough.
fn is_broken_pipe(failure: &Failure) -> bool {
    failure.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
