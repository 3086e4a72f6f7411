//! What the API of a provider needs beside OpenAI's own, by the name of its kind.

use std::{collections::BTreeMap, mem};

use weir_schema::Name;
use weir_schema::compat::{CredentialHeader, Params, Profile, Rules};

use super::{ModelError, Parts, Problem, known};

/// Those that need no definition.
const BUILT_IN: &str = include_str!("../../profiles.yaml");

/// Profiles by name.
pub type Profiles = BTreeMap<Name, Profile>;

/// The profiles that need no definition.
#[expect(clippy::expect_used, reason = "the text is a part of the program, and a test reads it")]
pub fn built_in() -> Profiles {
    serde_saphyr::from_str(BUILT_IN).expect("the built-in profiles are profiles")
}

impl Parts {
    /// Checks the profiles, and gives every provider what its own says.
    pub(super) fn resolve_profiles(&mut self) -> Result<(), ModelError> {
        if self.profiles.is_empty() && self.providers.iter().all(|provider| provider.profile.is_none()) {
            return Ok(());
        }
        let mut all = built_in();
        for (name, profile) in &self.profiles {
            check(profile, &format!("profiles.{name}"))?;
        }
        all.extend(self.profiles.clone());
        for name in self.profiles.keys() {
            resolved(name, &all, &|| format!("profiles.{name}.extends"))?;
        }
        for provider in &mut self.providers {
            let Some(name) = &provider.profile else { continue };
            let at = || format!("providers.{}.profile", provider.name);
            known("profile", name.as_str(), all.keys().map(Name::as_str), at)?;
            let needs = mem::take(&mut provider.needs).over(resolved(name, &all, &at)?);
            provider.protocols = needs.protocols.clone().unwrap_or_else(|| provider.protocols.clone());
            let header = needs.credential_header;
            provider.credential_header = header.unwrap_or_else(|| CredentialHeader::of(&provider.protocols));
            provider.needs = needs;
        }
        Ok(())
    }
}

/// A profile with all that it goes on from. One that extends itself goes on from the built-in one of its name.
fn resolved(name: &Name, all: &Profiles, at: &dyn Fn() -> String) -> Result<Profile, ModelError> {
    let mut profile = all.get(name).cloned().unwrap_or_default();
    let mut seen = vec![name.clone()];
    while let Some(base) = profile.extends.take() {
        let next =
            if seen.last() == Some(&base) { built_in().remove(&base) } else { all.get(&base).cloned() };
        let Some(next) = next else {
            known(
                "profile",
                base.as_str(),
                all.keys().map(Name::as_str).filter(|known| *known != base.as_str()),
                at,
            )?;
            continue;
        };
        if seen.len() > all.len() {
            return Err(ModelError { at: at(), problem: Problem::EndlessProfile });
        }
        seen.push(base);
        profile = profile.over(next);
    }
    Ok(profile)
}

fn check(profile: &Profile, at: &str) -> Result<(), ModelError> {
    let wrong = |field: &str, problem| Err(ModelError { at: format!("{at}.{field}"), problem });
    let is_path = |path: &String| {
        path.starts_with('/') && path.contains("{endpoint}") && !path.contains(['?', '#', ' '])
    };
    if profile.path.as_ref().is_some_and(|path| path != "{endpoint}" && !is_path(path)) {
        return wrong("path", Problem::NotPath);
    }
    if profile.protocols.as_ref().is_some_and(Vec::is_empty) {
        return wrong("protocols", Problem::NoProtocol);
    }
    check_rules(&profile.compat, &format!("{at}.compat"))
}

/// Refuses rules for members that the gateway itself acts on.
pub(super) fn check_rules(rules: &Rules, at: &str) -> Result<(), ModelError> {
    let Params { rename, .. } = &rules.params;
    let own = rules.params.names().find(|name| OWN_MEMBERS.contains(name));
    if let Some(name) = own {
        return Err(ModelError { at: format!("{at}.params"), problem: Problem::OwnMember(name.to_owned()) });
    }
    match rename.iter().find(|(name, other)| *name != *other && rename.contains_key(*other)) {
        Some((name, _)) => {
            Err(ModelError { at: format!("{at}.params.rename.{name}"), problem: Problem::RenamedTwice })
        }
        None => Ok(()),
    }
}

/// Members of a request that the gateway reads or writes itself.
const OWN_MEMBERS: [&str; 4] = ["model", "stream", "stream_options", "messages"];
#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn every_built_in_profile_is_one() {
        let all = built_in();
        for (name, profile) in &all {
            assert_eq!(check(profile, name.as_str()), Ok(()), "{name}");
        }
        let names = all.keys().map(Name::as_str).collect::<Vec<_>>().join(" ");
        assert_eq!(
            names,
            "anthropic azure dashscope deepseek gemini groq llama.cpp mistral moonshot ollama openai openrouter sglang tgi together vllm zhipu"
        );
    }

    #[test]
    fn a_profile_goes_on_from_another() {
        let mut all = built_in();
        let own = |text: &str| serde_json::from_str::<Profile>(text).unwrap();
        all.insert(
            name("ours"),
            own(r#"{"extends":"azure","query":{"api-version":"2025"},"compat":{"think":"strip"}}"#),
        );
        all.insert(name("azure"), own(r#"{"extends":"azure","query":{"x":"1"}}"#));
        let at = || "x".to_owned();
        let expected = r#"{"path":"/deployments/{model}{endpoint}","query":{"api-version":"2025","x":"1"},"credential_header":"api-key","compat":{"think":"strip"}}"#;
        let made = resolved(&name("ours"), &all, &at).unwrap();
        assert_eq!(serde_json::to_string(&made).unwrap(), expected);
        all.insert(name("a"), own(r#"{"extends":"b"}"#));
        all.insert(name("b"), own(r#"{"extends":"a"}"#));
        all.insert(name("c"), own(r#"{"extends":"c"}"#));
        let problem = |of: &str| resolved(&name(of), &all, &at).unwrap_err().problem;
        assert_eq!(problem("a"), Problem::EndlessProfile);
        assert!(matches!(problem("c"), Problem::Unknown { .. }));
    }
}
