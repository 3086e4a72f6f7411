//! The command line.

mod keys;
mod mcp;
mod quotas;
mod remote;
mod template;
mod tokens;
mod usage;

use std::{
    borrow::Cow,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::{
    bootstrap,
    compile::compile,
    drain, encode, hub,
    ledger::book::Place,
    load,
    model::{InvalidSpan, Model, Span},
    modules::Modules,
    schema, serve,
    store::location::Location,
    telemetry, tls,
};

/// The control plane of Weir: reads one file and serves it to Envoy.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a configuration to every Envoy that connects, and follow its changes
    Serve(Serve),
    /// Check a configuration without reading its secrets
    Validate(Config),
    /// Print the Envoy resources that a configuration becomes, without secrets
    Compile(Compile),
    /// Print the file that Envoy is started with
    Bootstrap(Bootstrap),
    /// Take an Envoy out of service without cutting what it is answering: a pre-stop hook
    #[command(after_help = DRAIN_EXIT)]
    Drain(Drain),
    /// Make, list and change the keys of callers
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Make, list and revoke the tokens of the API
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Write the objects of a document over the API, all or none
    Apply(remote::Change),
    /// Show what `apply` would change
    #[command(after_help = DIFF_EXIT)]
    Diff(remote::Change),
    /// Print the objects of the API, as `apply` takes them
    Export(remote::Export),
    /// Show what is served, and to whom
    #[command(after_help = STATUS_EXIT)]
    Status(remote::Status),
    /// Show what was used, by time and by whom
    Usage(usage::Usage),
    /// Show what quotas have come to, and correct it
    #[command(subcommand)]
    Quotas(quotas::Quotas),
    /// Make and try MCP servers
    #[command(subcommand)]
    Mcp(mcp::Mcp),
    /// Try templates
    #[command(subcommand)]
    Template(template::Templates),
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct Config {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", env = "WEIR_CONFIG")]
    config: PathBuf,
    /// The folder of the filters' modules, as Envoy sees it
    #[arg(long, value_name = "DIR", env = "WEIR_MODULES")]
    modules: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    /// The configuration file; it is watched, and a wrong change is reported and not served
    #[arg(short, long, value_name = "FILE", env = "WEIR_CONFIG")]
    config: PathBuf,
    /// The folder of the filters' modules, as Envoy sees it
    #[arg(long, value_name = "DIR", env = "WEIR_MODULES")]
    modules: PathBuf,
    /// Where Envoys connect; whoever can reach it can read the providers' keys
    #[arg(long, value_name = "ADDRESS", env = "WEIR_XDS", default_value = "127.0.0.1:18000")]
    xds: SocketAddr,
    /// The certificate and chain that Envoys are shown, in PEM; it is read anew when it changes
    #[arg(long, value_name = "FILE", env = "WEIR_XDS_CERT", requires = "xds_key")]
    xds_cert: Option<PathBuf>,
    /// The certificate's private key
    #[arg(long, value_name = "FILE", env = "WEIR_XDS_KEY", requires = "xds_cert")]
    xds_key: Option<PathBuf>,
    /// The authorities of the certificates that Envoys must have
    #[arg(long, value_name = "FILE", env = "WEIR_XDS_CLIENT_CA", requires = "xds_cert")]
    xds_client_ca: Option<PathBuf>,
    /// Where /healthz, /readyz, /v1/status and the API are served
    #[arg(long, value_name = "ADDRESS", env = "WEIR_ADMIN", default_value = "127.0.0.1:18001")]
    admin: SocketAddr,
    /// The API's certificate and chain, in PEM; it is read anew when it changes
    #[arg(long, value_name = "FILE", env = "WEIR_ADMIN_CERT", requires = "admin_key")]
    admin_cert: Option<PathBuf>,
    /// The certificate's private key
    #[arg(long, value_name = "FILE", env = "WEIR_ADMIN_KEY", requires = "admin_cert")]
    admin_key: Option<PathBuf>,
    /// Where what the API makes is kept: a file, or postgres://USER:PASSWORD@HOST/DATABASE, which is better given in the
    /// environment; without it the configuration file is all there is
    #[arg(long, value_name = "PATH|URL", env = "WEIR_STORE", hide_env_values = true)]
    store: Option<String>,
    /// Where the API's first token is written; by default beside the store's file, or as weir.admin-token beside the
    /// configuration file
    #[arg(long, value_name = "FILE", env = "WEIR_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
    /// Where what Envoys may spend is kept: a file, or redis://USER:PASSWORD@HOST, which is better given in the
    /// environment; by default a file beside the store's, and with a database for a store nowhere
    #[arg(long, value_name = "PATH|URL", env = "WEIR_LEDGER", hide_env_values = true)]
    ledger: Option<String>,
    /// Where a gateway is reached when messages of MCP's transport of 2024-11-05 go back to it, as URL, or as NAME=URL one of
    /// several; default where it listens, on this machine
    #[arg(long, value_name = "[NAME=]URL", env = "WEIR_HUB_GATEWAY", value_delimiter = ',')]
    hub_gateway: Vec<String>,
    /// The certificate authorities that a gateway with TLS is verified with when messages of MCP's transport of 2024-11-05
    /// go back to it. Default the system's
    #[arg(long, value_name = "FILE", env = "WEIR_HUB_CA")]
    hub_ca: Option<PathBuf>,
    /// How the log is written
    #[arg(long, value_enum, env = "WEIR_LOG_FORMAT", default_value = "text")]
    log_format: telemetry::LogFormat,
    /// What is logged: a level, or a list such as info,weir::xds=debug
    #[arg(long, value_name = "FILTER", env = "WEIR_LOG", default_value = "info")]
    log: String,
}

#[derive(Debug, Args)]
struct Compile {
    #[command(flatten)]
    config: Config,
    /// What to print
    #[arg(long, value_enum, default_value = "resources")]
    format: Format,
    /// Whose resources, where there are several gateways
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The resources as they are served, by kind and name
    Resources,
    /// One static bootstrap with everything in it, for `envoy --mode validate`
    Bootstrap,
}

#[derive(Debug, Args)]
struct Bootstrap {
    /// Where Envoy finds the control plane
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:18000")]
    xds: String,
    /// The authorities of the control plane's certificate, as a file that Envoy reads; without it there is no TLS
    #[arg(long, value_name = "FILE")]
    xds_ca: Option<PathBuf>,
    /// Envoy's own certificate and chain, which the control plane may ask for
    #[arg(long, value_name = "FILE", requires_all = ["xds_ca", "xds_key"])]
    xds_cert: Option<PathBuf>,
    /// The private key of Envoy's certificate
    #[arg(long, value_name = "FILE", requires = "xds_cert")]
    xds_key: Option<PathBuf>,
    /// The port of Envoy's own admin interface, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    admin_port: u16,
}

#[derive(Debug, Args)]
struct Drain {
    /// Where Envoy's own admin interface is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// How long active requests are waited for
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = span)]
    deadline: Span,
    /// How long to wait even if nothing is active, so that load balancers notice
    #[arg(long, value_name = "DURATION", value_parser = span)]
    at_least: Option<Span>,
    /// How often active requests are counted
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = span)]
    poll: Span,
    /// End Envoy afterwards
    #[arg(long)]
    quit: bool,
}

/// Why a command failed. `main` prints it.
pub type Failure = Box<dyn std::error::Error>;

impl Cli {
    /// Does what the command line says; what it prints goes to `out`. Returns what the process ends with.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Serve(options) => options.run()?,
            Command::Validate(options) => options.validate(out)?,
            Command::Compile(options) => options.run(out)?,
            Command::Drain(options) => return options.run(out),
            Command::Apply(options) => return options.apply(out),
            Command::Diff(options) => return options.diff(out),
            Command::Export(options) => return options.run(out),
            Command::Status(options) => return options.run(out),
            Command::Keys(command) => return command.run(out),
            Command::Tokens(command) => return command.run(out),
            Command::Usage(options) => return options.run(out),
            Command::Quotas(command) => return command.run(out),
            Command::Mcp(command) => return command.run(out),
            Command::Template(command) => return command.run(out),
            Command::Schema => writeln!(out, "{:#}", schema::of_file())?,
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "weir", out);
            }
            Command::Bootstrap(Bootstrap { xds, xds_ca, xds_cert, xds_key, admin_port }) => {
                let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, admin_port));
                let tls = xds_ca.map(|ca| bootstrap::Tls { ca, identity: xds_cert.zip(xds_key) });
                write!(out, "{}", bootstrap::dynamic(&xds, tls.as_ref(), admin)?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Serve {
    fn run(self) -> Result<(), Failure> {
        telemetry::start(self.log_format, &self.log)?;
        let Self {
            config,
            modules,
            xds,
            admin,
            store,
            admin_token_file: token_file,
            ledger,
            hub_ca,
            hub_gateway,
            ..
        } = self;
        let hub = gateways(&hub_gateway, hub_ca)?;
        let files = |certificate: Option<PathBuf>, key: Option<PathBuf>, client_ca| {
            certificate.zip(key).map(|(certificate, key)| tls::Files { certificate, key, client_ca })
        };
        let xds_tls = files(self.xds_cert, self.xds_key, self.xds_client_ca);
        let admin_tls = files(self.admin_cert, self.admin_key, None);
        let store = store.as_deref().map(Location::parse).transpose()?;
        let ledger = ledger.as_deref().map(Place::parse).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(runtime.block_on(serve::serve(serve::Options {
            config,
            modules,
            xds,
            xds_tls,
            admin,
            admin_tls,
            store,
            token_file,
            ledger,
            hub,
        }))?)
    }
}

/// Where gateways are reached from the hub.
fn gateways(written: &[String], ca: Option<PathBuf>) -> Result<hub::Gateways, Failure> {
    let mut gateways = hub::Gateways { ca, ..hub::Gateways::default() };
    for written in written {
        let refused = |problem: &dyn std::fmt::Display| format!("--hub-gateway {written}: {problem}");
        let (name, url) = match written.split_once('=') {
            Some((name, url)) => (Some(name), url),
            None => (None, written.as_str()),
        };
        let address = url.parse().map_err(|problem: hub::InvalidAddress| refused(&problem))?;
        let known = match name {
            Some(name) => gateways.addresses.insert(name.into(), address),
            None => gateways.address.replace(address),
        };
        if known.is_some() {
            return Err(refused(&"the gateway has an address already").into());
        }
    }
    Ok(gateways)
}

impl Drain {
    fn run(self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        let Self { admin, quit, .. } = self;
        let options = drain::Options {
            admin,
            deadline: self.deadline.duration(),
            at_least: self.at_least.map(Span::duration).unwrap_or_default(),
            poll: self.poll.duration(),
            quit,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(drain::drain(options, out))? {
            drain::Outcome::Clean => Ok(ExitCode::SUCCESS),
            drain::Outcome::Cut(_) => Ok(ExitCode::from(CUT)),
        }
    }
}

impl Config {
    fn modules(&self) -> Result<Modules, Failure> {
        Ok(self.modules.as_deref().map_or_else(|| Ok(Modules::placeholders()), Modules::read)?)
    }

    fn validate(&self, out: &mut impl Write) -> Result<(), Failure> {
        let model = load::model(&self.config)?;
        for gateway in model.of_gateways() {
            encode::Encoded::new(&compile(&gateway, &self.modules()?)?)?;
        }
        let parts = model.parts();
        let [keys, providers, models] = [parts.keys.len(), parts.providers.len(), parts.models.len()];
        let file = self.config.display();
        Ok(writeln!(out, "{file}: ok ({models} models, {providers} providers, {keys} keys)")?)
    }
}

impl Compile {
    fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let model = load::model(&self.config.config)?;
        let gateway = self.of_gateway(&model)?;
        let snapshot = compile(&gateway, &self.config.modules()?)?;
        let json = match self.format {
            Format::Resources => snapshot.to_json(),
            Format::Bootstrap => {
                let bootstrap = bootstrap::complete(&snapshot);
                encode::check("envoy.config.bootstrap.v3.Bootstrap", &bootstrap)?;
                bootstrap
            }
        };
        Ok(writeln!(out, "{json:#}")?)
    }

    fn of_gateway<'a>(&self, model: &'a Model) -> Result<Cow<'a, Model>, Failure> {
        let mut gateways = model.of_gateways();
        let names: Vec<_> = gateways.iter().map(|one| one.parts().gateway.name.to_string()).collect();
        let found = match &self.gateway {
            Some(wanted) => names.iter().position(|name| name == wanted),
            None => (names.len() == 1).then_some(0),
        };
        match found {
            Some(found) => Ok(gateways.swap_remove(found)),
            None => Err(format!("--gateway is one of {}", names.join(", ")).into()),
        }
    }
}

fn span(text: &str) -> Result<Span, InvalidSpan> {
    text.to_owned().try_into()
}

/// What `weir drain` ends with if requests were still active at the deadline.
const CUT: u8 = 2;

const DIFF_EXIT: &str =
    "Ends with 0 when nothing differs, with 3 when something does, and with 1 when that cannot be said.";

const STATUS_EXIT: &str = "Ends with 0 when all is well, with 3 when the configuration or a resource is refused, and with 1 \
    when the control plane cannot be asked.";

const DRAIN_EXIT: &str = "Ends with 0 when every request had its answer, with 2 when some were still active at \
    the deadline, and with 1 when Envoy cannot be asked.";
