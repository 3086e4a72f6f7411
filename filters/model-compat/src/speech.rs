//! Which interface a client speaks, and which its upstream.

use weir_schema::compat;
use weir_wire::openai::Endpoint;
use weir_wire::translate::Protocol;

/// What has to become of a request so that its upstream understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// It does already.
    Native,
    /// It is written anew in the upstream's interface.
    Foreign { client: Protocol, upstream: Protocol },
    /// The upstream counts no tokens, so about how many they are is answered here.
    Counted,
}

impl Speech {
    /// What has to become of a request to `endpoint` for an upstream that speaks these; of several the first is preferred.
    pub(crate) fn of(endpoint: Option<&Endpoint>, spoken: &[compat::Protocol]) -> Self {
        let preferred = spoken.first().copied().map_or(Protocol::Chat, protocol);
        let speaks = |protocol: Protocol| {
            spoken.iter().any(|spoken| self::protocol(*spoken) == protocol) || protocol == preferred
        };
        match endpoint {
            Some(Endpoint::CountTokens) if !speaks(Protocol::Messages) => Self::Counted,
            endpoint => match endpoint.and_then(Protocol::at) {
                Some(client) if !speaks(client) => Self::Foreign { client, upstream: preferred },
                Some(_) | None => Self::Native,
            },
        }
    }

    /// Whether the request goes to an interface of Anthropic's.
    pub(crate) fn is_to_messages(self, endpoint: Option<&Endpoint>) -> bool {
        match self {
            Self::Foreign { upstream, .. } => upstream == Protocol::Messages,
            Self::Native => matches!(endpoint, Some(Endpoint::Messages | Endpoint::CountTokens)),
            Self::Counted => false,
        }
    }
}

fn protocol(spoken: compat::Protocol) -> Protocol {
    match spoken {
        compat::Protocol::Chat => Protocol::Chat,
        compat::Protocol::Responses => Protocol::Responses,
        compat::Protocol::Messages => Protocol::Messages,
        compat::Protocol::Gemini => Protocol::Gemini,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_translated_only_where_its_upstream_does_not_speak_as_its_client() {
        use compat::Protocol::{Chat, Gemini, Messages, Responses};
        let foreign = |client, upstream| Speech::Foreign { client, upstream };
        for (endpoint, spoken, speech) in [
            (Endpoint::ChatCompletions, vec![], Speech::Native),
            (Endpoint::Responses, vec![], foreign(Protocol::Responses, Protocol::Chat)),
            (Endpoint::Responses, vec![Chat, Responses], Speech::Native),
            (Endpoint::Messages, vec![Responses, Chat], foreign(Protocol::Messages, Protocol::Responses)),
            (Endpoint::ChatCompletions, vec![Messages], foreign(Protocol::Chat, Protocol::Messages)),
            (Endpoint::Messages, vec![Gemini], foreign(Protocol::Messages, Protocol::Gemini)),
            (Endpoint::Embeddings, vec![Messages], Speech::Native),
            (Endpoint::CountTokens, vec![Messages], Speech::Native),
            (Endpoint::CountTokens, vec![Chat], Speech::Counted),
        ] {
            assert_eq!(Speech::of(Some(&endpoint), &spoken), speech, "{endpoint:?} {spoken:?}");
        }
    }
}
