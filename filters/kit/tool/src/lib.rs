//! Tools that are made of calls of REST APIs, without a proxy: arguments are checked, requests written, answers read.
//!
//! The `mcp` filter runs them; the control plane checks them when a configuration is loaded, with the same code.
//!
//! | module | does |
//! |---|---|
//! | [`encode`] | writes a value so that it stays one value where it goes |
//! | [`input`] | the JSON Schema of a tool's arguments |
//! | [`prompt`] | a prompt with its arguments |
//! | [`request`] | a call as it is configured, and as it is sent |
//! | [`resource`] | something that can be read |
//! | [`shape`] | checks a value against a JSON Schema |
//! | [`template`] | templates over arguments and results |
//! | [`tool`] | a tool with all its calls, checked |

pub mod encode;
pub mod input;
pub mod prompt;
pub mod request;
pub mod resource;
pub mod shape;
pub mod template;
pub mod tool;

mod error;
mod uri;

pub use error::{LoadError, Unfit};
pub use prompt::PromptPlan;
pub use request::{Outgoing, RequestPlan};
pub use resource::ResourcePlan;
pub use template::{Scope, Text};
pub use tool::{StepPlan, ToolPlan};
