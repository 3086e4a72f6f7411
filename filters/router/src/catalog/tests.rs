use super::*;

fn catalog(config: &str) -> Catalog {
    let config: weir_schema::router::Config = serde_json::from_str(config).unwrap();
    Catalog::of(config.models, config.domains, config.providers, config.default_model).unwrap()
}

fn grant(text: &str) -> Grant {
    Grant::parse(text.as_bytes().to_vec()).unwrap()
}

/// The route of what `name` means, its name, and the name at an upstream that calls it `up-*`.
fn found(catalog: &Catalog, name: &str, of: &str) -> Option<(String, String, String)> {
    let found = catalog.find(name, &grant(of))?;
    Some((found.model.route.to_string(), found.name.to_string(), found.there("up-*").into_owned()))
}

const CONFIG: &str = r#"{
    "default_model": "small",
    "domains": [
        {"name": "video", "default_model": "own-latest"},
        {"name": "finance", "models": ["small", "openai/gpt-*"]}
    ],
    "models": [
        {"name": "small", "route": "small", "aliases": ["tiny", "openai/gpt-tiny"]},
        {"name": "openai/*", "route": "openai"},
        {"name": "openai/gpt-5", "route": "gpt-5"},
        {"name": "large", "route": "large", "aliases": ["big"]},
        {"name": "own", "route": "video//own", "domain": "video", "aliases": ["own-latest", "big"]},
        {"name": "openai/o*", "route": "video//o", "domain": "video"},
        {"name": "tiny", "route": "video//tiny", "domain": "video"}
    ]
}"#;

#[test]
fn a_name_stands_before_an_alias_and_an_alias_before_a_wildcard() {
    let catalog = catalog(CONFIG);
    for (name, of, expected) in [
        ("openai/gpt-5", "video\n*", Some(("gpt-5", "openai/gpt-5", "up-*"))),
        ("openai/gpt-tiny", "video\n*", Some(("small", "small", "up-*"))),
        ("openai/gpt-4", "video\n*", Some(("openai", "openai/gpt-4", "up-gpt-4"))),
        ("openai/o3", "video\n*", Some(("video//o", "openai/o3", "up-3"))),
        ("tiny", "video\n*", Some(("video//tiny", "tiny", "up-*"))),
        ("big", "video\n*", Some(("video//own", "own", "up-*"))),
        ("tiny", "finance\n*", Some(("small", "small", "up-*"))),
        ("openai/gpt-4", "finance\n*", Some(("openai", "openai/gpt-4", "up-gpt-4"))),
        ("openai/", "video\n*", None),
        ("openai/*", "video\n*", None),
        ("openai/a b", "video\n*", None),
    ] {
        let expected =
            expected.map(|(route, name, there)| (route.to_owned(), name.to_owned(), there.to_owned()));
        assert_eq!(found(&catalog, name, of), expected, "{name} for {of}");
    }
}

#[test]
fn what_a_domain_does_not_see_has_no_other_name_there_either() {
    let catalog = catalog(CONFIG);
    for name in ["large", "big", "own", "own-latest", "openai/o3", "video//own"] {
        assert_eq!(found(&catalog, name, "finance\n*"), None, "{name}");
    }
}

#[test]
fn a_key_is_for_names_not_for_aliases_and_narrows_a_wildcard() {
    let catalog = catalog(CONFIG);
    assert!(found(&catalog, "tiny", "finance\nsmall").is_some());
    assert_eq!(found(&catalog, "tiny", "finance\ntiny"), None);
    assert!(found(&catalog, "openai/gpt-4", "video\nopenai/gpt-4").is_some());
    assert_eq!(found(&catalog, "openai/gpt-4o", "video\nopenai/gpt-4"), None);
    assert!(found(&catalog, "openai/gpt-4o", "video\nopenai/*").is_some());
}

#[test]
fn a_list_has_every_name_that_may_be_asked_for() {
    let catalog = catalog(CONFIG);
    let list = |of| catalog.visible(&grant(of)).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        list("video\n*"),
        [
            "small",
            "openai/gpt-tiny",
            "openai/*",
            "openai/gpt-5",
            "large",
            "own",
            "own-latest",
            "big",
            "openai/o*",
            "tiny"
        ]
    );
    assert_eq!(list("finance\n*"), ["small", "tiny", "openai/gpt-tiny", "openai/gpt-5"]);
    assert_eq!(list("video\nopenai/gpt-4\nsmall"), ["small", "openai/gpt-tiny", "openai/gpt-4"]);
}

#[test]
fn a_domains_default_stands_before_that_of_all() {
    let catalog = catalog(CONFIG);
    let default = |of| catalog.default_for(&grant(of)).map(|found| found.name.to_string());
    assert_eq!(default("video\n*").as_deref(), Some("own"));
    assert_eq!(default("finance\n*").as_deref(), Some("small"));
    assert_eq!(default("finance\nopenai/*"), None);
}
