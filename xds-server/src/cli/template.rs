//! Templates on the command line.

use std::{fs, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use weir_template::{Data, Engine, Limits, RenderError, Template, TemplateError};

use super::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Templates {
    /// Fill a template with data and print exactly what comes out
    Render(Render),
}

#[derive(Debug, Args)]
pub(super) struct Render {
    /// The template
    #[arg(short, long, value_name = "FILE")]
    template: PathBuf,
    /// The data, as JSON
    #[arg(short, long, value_name = "FILE")]
    data: PathBuf,
    /// The language of the template
    #[arg(long, value_enum, default_value = "go")]
    engine: EngineName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EngineName {
    /// Go's text/template
    Go,
    /// Handlebars
    Handlebars,
}

impl Templates {
    pub(super) fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        match self {
            Self::Render(options) => options.run(out),
        }
    }
}

impl Render {
    fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let read =
            |file: &PathBuf| fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()));
        let (source, data) = (read(&self.template)?, read(&self.data)?);
        let data: Value =
            serde_json::from_str(&data).map_err(|error| format!("{}: {error}", self.data.display()))?;
        let engine = match self.engine {
            EngineName::Go => Engine::Go,
            EngineName::Handlebars => Engine::Handlebars,
        };
        let file = self.template.display();
        let template =
            Template::parse(&source, engine).map_err(|error: TemplateError| format!("{file}:{error}"))?;
        let text = template
            .render(&Data::from(data), Limits::default())
            .map_err(|error: RenderError| format!("{file}:{error}"))?;
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
