//! `weir tokens`: who may use the API.

use std::{io::Write, process::ExitCode};

use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value};
use weir_schema::Name;

use super::{
    Failure,
    keys::secret,
    remote::{Named, Output, Remote, table, text},
};
use crate::{access::RoleName, client::segment, keys::parsed};

/// What is done to tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Tokens {
    /// Make a token, and print it once
    Create(Create),
    /// List the tokens
    List(List),
    /// Make a token useless from now on
    Revoke(Named),
}

/// `weir tokens create`
#[derive(Debug, Args)]
pub(super) struct Create {
    /// Its name
    #[arg(value_parser = parsed::<Name>)]
    name: Name,
    /// Let it register models of this provider, and say which keys may use them
    #[arg(long, value_name = "NAME", value_parser = parsed::<Name>, conflicts_with = "domain")]
    provider: Option<Name>,
    /// Let it manage the consumers and keys of this domain
    #[arg(long, value_name = "NAME", value_parser = parsed::<Name>)]
    domain: Option<Name>,
    /// Let it do everything
    #[arg(long, conflicts_with_all = ["provider", "domain"], required_unless_present_any = ["provider", "domain"])]
    admin: bool,
    /// When it stops working, such as 2027-01-01T00:00:00Z. Default never
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

/// `weir tokens list`
#[derive(Debug, Args)]
pub(super) struct List {
    /// How to write the answer
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

impl Tokens {
    pub(super) fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        match self {
            Self::Create(options) => options.run(out)?,
            Self::List(options) => options.run(out)?,
            Self::Revoke(Named { name, remote }) => {
                let path = format!("/v1/tokens/{}", segment(&name));
                remote.ask(async |api| api.delete(&path).await)?;
                writeln!(out, "tokens/{name} is revoked")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let role = match (&self.provider, &self.domain) {
            (Some(_), _) => RoleName::Provider,
            (None, Some(_)) => RoleName::Tenant,
            (None, None) => RoleName::Admin,
        };
        let mut new = Map::from_iter([
            ("name".to_owned(), self.name.to_string().into()),
            ("role".to_owned(), role.as_str().into()),
        ]);
        let bound = [("provider", self.provider), ("domain", self.domain)];
        new.extend(
            bound.into_iter().filter_map(|(field, name)| Some((field.into(), name?.to_string().into()))),
        );
        new.extend(self.expires_at.map(|time| ("expires_at".to_owned(), time.to_string().into())));
        let made = self.remote.ask(async |api| api.send(Method::POST, "/v1/tokens", &new.into()).await)?;
        secret(&made, self.output, out)
    }
}

impl List {
    fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let tokens = self.remote.ask(async |api| api.pages("/v1/tokens", "").await)?;
        if self.output == Output::Json {
            return Ok(writeln!(out, "{:#}", Value::from(tokens))?);
        }
        let rows = tokens.iter().map(|token| {
            let bound = ["provider", "domain"].into_iter().find_map(|field| token.get(field)?.as_str());
            let [name, role, prefix, created, expires] =
                ["name", "role", "prefix", "created_at", "expires_at"].map(|field| text(token, field));
            [name, role, bound.unwrap_or("-"), prefix, created, expires].map(str::to_owned).into()
        });
        Ok(table(out, &["NAME", "ROLE", "OF", "PREFIX", "CREATED", "EXPIRES"], rows.collect())?)
    }
}
