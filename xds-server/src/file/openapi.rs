//! OpenAPI documents that the file names by their paths.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weir_tool::LoadError;

use super::{File, FileError, Middleware, error};
use crate::model::{McpOptions, ModelError, OpenApi, OpenApiDocument, Problem};

impl File {
    /// The paths of documents.
    pub fn documents(&self) -> impl Iterator<Item = &str> {
        let options = self.routes.iter().flat_map(|route| &route.middlewares).filter_map(mcp);
        options.filter_map(|options| match &options.orchestrator.as_ref()?.openapi.as_ref()?.document {
            OpenApiDocument::Path(path) => Some(path.as_str()),
            OpenApiDocument::Whole(_) => None,
        })
    }

    /// The file with the documents in the place of their paths.
    #[must_use]
    pub fn with_documents(mut self, documents: &BTreeMap<String, Map<String, Value>>) -> Self {
        for OpenApi { document, .. } in self.openapi() {
            if let OpenApiDocument::Path(path) = document
                && let Some(whole) = documents.get(path.as_str())
            {
                *document = OpenApiDocument::Whole(whole.clone());
            }
        }
        self
    }

    fn openapi(&mut self) -> impl Iterator<Item = &mut OpenApi> {
        let answers = self.routes.iter_mut().flat_map(|route| &mut route.middlewares);
        answers.filter_map(|answer| match answer {
            Middleware::McpServer(options) => options.orchestrator.as_mut()?.openapi.as_mut(),
            Middleware::ChatTemplate(_) | Middleware::McpRegistry(_) | Middleware::StoredChatTemplate(_) => {
                None
            }
        })
    }

    /// Makes tools of all documents.
    pub(super) fn expand(&mut self) -> Result<(), ModelError> {
        for route in &mut self.routes {
            let label = route.label();
            for (nth, answer) in route.middlewares.iter_mut().enumerate() {
                let Middleware::McpServer(options) = answer else { continue };
                let Some(orchestrator) = options.orchestrator.as_mut() else { continue };
                orchestrator.expand().map_err(|error| {
                    let LoadError { field, problem } = error.within("apiOrchestrator");
                    let at = format!("routes.{label}.middlewares[{nth}].options.{field}");
                    ModelError { at, problem: Problem::Mcp(problem) }
                })?;
            }
        }
        Ok(())
    }

    /// Reads the text of a document, in JSON or YAML.
    pub fn document(text: &str) -> Result<Map<String, Value>, FileError> {
        error::document(text)
    }
}

fn mcp(answer: &Middleware) -> Option<&McpOptions> {
    match answer {
        Middleware::McpServer(options) => Some(options),
        Middleware::ChatTemplate(_) | Middleware::McpRegistry(_) | Middleware::StoredChatTemplate(_) => None,
    }
}
