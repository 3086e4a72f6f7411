//! Templates over JSON: what a prompt, a URL or an answer is made of.
//!
//! A template is written in the part of Go's `text/template` that needs nothing but data, or in handlebars.
//! Both become the same handlebars template, built from its parts and never from text, so what stands in a
//! template is what comes out. A template reads the data it is given and nothing else: no environment, no
//! file, no other template. A value is never read as a template, and a variable that is not set is an error.
//!
//! ```
//! use weir_template::{Data, Engine, Limits, Template};
//!
//! let template = Template::parse("{{ jsonify (slice_to_index_map .replies 1) }}", Engine::Go)?;
//! let data = Data::from(serde_json::json!({"replies": ["你好", "{{ . }}"]}));
//! assert_eq!(template.render(&data, Limits::default())?, r#"{"1":"你好","2":"{{ . }}"}"#);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | does |
//! |---|---|
//! | `go` | reads Go's syntax |
//! | `native` | reads handlebars' syntax and refuses what is not for templates of others |
//! | `node` | what both read: text, values, blocks |
//! | `lower` | writes that as a handlebars template |
//! | `function`, `block` | what a template can call |
//! | [`chat`] | makes a chat completion's request of a template and variables, and reads the answer |
//! | `shape` | checks values by a part of JSON Schema |
//! | `sink` | takes what is written, up to a limit |

mod block;
pub mod chat;
mod error;
mod fault;
mod function;
mod go;
mod lower;
mod native;
mod node;
mod position;
mod shape;
mod sink;
mod template;
#[cfg(test)]
mod tests;

pub use error::{TemplateError, TemplateProblem};
pub use fault::{RenderError, RenderProblem};
pub use position::Position;
pub use shape::{InvalidShape, Misfit, Shape, ShapeProblem};
pub use template::{Data, Limits, Template};
pub use weir_schema::TemplateEngine as Engine;

/// How many bytes a template may have.
pub const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// How deep blocks may stand in blocks, and calls in calls.
pub const MAX_DEPTH: usize = 32;

/// How many branches may follow each other: `if`, `else if`, `else if` and so on.
const MAX_BRANCHES: usize = 64;
