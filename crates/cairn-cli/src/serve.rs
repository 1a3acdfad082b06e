//! `cairn serve`: from arguments to ports that answer, until a signal.

use std::{io::Write as _, path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, anyhow};
use cairn_app::{
    App, AppOptions, Host,
    app::{keep_backups, preferred_port, remember_port, remembered_port, usual_store},
    dto::ServerStatus,
    launch_keeper::LaunchKeeper,
    ports::{ClientPort, Ports, Waiting, take_from_stand_in},
    token::{ClientAccess, client_access, token_file},
};
use cairn_runtime::serving;
use cairn_server::{AccessRule, BindError, PortChoice, RunningServer, Server, Token};
use cairn_store::{OpenOptions, Store};
use tokio::signal::unix::{SignalKind, signal};

use crate::{ServeArgs, interface};

/// Serves until SIGTERM or Ctrl-C.
pub fn run(args: ServeArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the program's threads cannot be started")?;
    runtime.block_on(serve(args))
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let mut options =
        AppOptions::for_this_user(args.store.clone()).map_err(|text| anyhow!(text))?;
    if let Some(data_dir) = &args.stand_in {
        options.data_dir.clone_from(data_dir);
    }
    // Signals are caught before anything is told, so that a program that reads the address may end
    // this one at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let until_signal = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // A stand-in for this store gives its port to this program; a stand-in itself takes it from none.
    let (choice, hold) = match args.port {
        Some(0) => (PortChoice::Any, None),
        Some(port) if args.stand_in.is_some() => (PortChoice::Exactly(port), None),
        Some(port) => {
            (PortChoice::Exactly(port), take_from_stand_in(&options, Some(port), port).await.1)
        }
        None => {
            let (port, hold) = take_from_stand_in(&options, None, preferred_port(&options)).await;
            (PortChoice::Prefer(port), hold)
        }
    };
    let rule = access_rule(client_access(&options, args.require_token));
    if rule == AccessRule::Nobody {
        let path = token_file(&options);
        anyhow::bail!("the token of MLflow clients cannot be read from {}", path.display());
    }
    if args.ui {
        serve_with_interface(options, choice, hold, &args, rule, until_signal).await
    } else {
        let path = args.store.unwrap_or_else(|| usual_store(&options));
        let store = open(&path, OpenOptions::Create)?;
        let wants_token = rule != AccessRule::Everyone;
        let server = bind(Some(store.clone()), choice, rule).await?;
        if choice == PortChoice::Prefer(server.port()) && remembered_port(&options).is_none() {
            remember_port(&options, server.port());
        }
        let announced = serving::announce(
            &options.data_dir,
            store.database(),
            server.port(),
            args.stand_in.is_some(),
            args.require_token,
        )?;
        drop(hold);
        tell(&store, &server, choice);
        if wants_token {
            tell_of_token();
        }
        let backups = keep_backups(&store, &options);
        let launches = LaunchKeeper::start(&options.data_dir);
        if args.stand_in.is_some() {
            tokio::select! {
                () = until_signal => {}
                () = until_not_needed(&options, &store, server.port()) => {}
            }
        } else {
            until_signal.await;
        }
        drop(launches);
        server.shutdown().await;
        drop((backups, announced));
        // The last handle of the store waits until all that was accepted is written.
        drop(store);
        Ok(())
    }
}

/// Waits until no launch has needed the port for a while.
async fn until_not_needed(options: &AppOptions, store: &Store, port: u16) {
    let mut needed = Instant::now();
    while needed.elapsed() < serving::STAND_IN_IDLE {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let (data_dir, database) = (options.data_dir.clone(), store.database().to_owned());
        let is_needed = tokio::task::spawn_blocking(move || {
            serving::is_needed(&data_dir, &database, Some(port))
        });
        if is_needed.await.unwrap_or_default() {
            needed = Instant::now();
        }
    }
}

/// Opens the store at a path; an error says what to do.
pub(crate) fn open(path: &Path, options: OpenOptions) -> anyhow::Result<Store> {
    Store::open(path, options).map_err(|error| {
        let hint = error.hint();
        anyhow!("{error}\n{hint}")
    })
}

async fn bind(
    store: Option<Store>,
    choice: PortChoice,
    rule: AccessRule,
) -> anyhow::Result<RunningServer> {
    Server::start_with(store, choice, rule).await.map_err(|error| match error {
        BindError::Taken { port } => {
            anyhow!(
                "{error}\nFor example: cairn serve --port 0 takes any free port instead of {port}."
            )
        }
        other => anyhow!(other),
    })
}

/// Prints where the store is reached, and what is unusual about it.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn tell(store: &Store, server: &RunningServer, choice: PortChoice) {
    if let PortChoice::Prefer(usual) = choice
        && usual != server.port()
    {
        println!("Port {usual} is taken by another program; using {} instead.", server.port());
    }
    if let Some(reason) = store.read_only() {
        println!("The store is open for reading only: {reason}");
    }
    println!("Serving {} at {}", store.dir().display(), server.tracking_uri());
    println!("In Python: mlflow.set_tracking_uri(\"{}\")", server.tracking_uri());
    // Whoever waits for the address reads it through a pipe.
    let _ = std::io::stdout().flush();
}

/// Prints how clients get the token, never the token itself.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn tell_of_token() {
    println!("Clients need the token: export MLFLOW_TRACKING_TOKEN=\"$(cairn token)\"");
    let _ = std::io::stdout().flush();
}

/// Prints the token of MLflow clients, made if there is none.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub fn print_token() -> anyhow::Result<()> {
    let options = AppOptions::for_this_user(None).map_err(|text| anyhow!(text))?;
    let token = cairn_app::token::token(&options)
        .with_context(|| format!("the token in {}", token_file(&options).display()))?;
    println!("{token}");
    Ok(())
}

/// What the port is told about who may use it.
fn access_rule(access: ClientAccess) -> AccessRule {
    match access {
        ClientAccess::Everyone => AccessRule::Everyone,
        ClientAccess::Token(token) => {
            Token::parse(&token).map_or(AccessRule::Nobody, AccessRule::Token)
        }
        ClientAccess::Nobody => AccessRule::Nobody,
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
async fn serve_with_interface(
    options: AppOptions,
    choice: PortChoice,
    hold: Option<serving::Hold>,
    args: &ServeArgs,
    rule: AccessRule,
    until_signal: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let remembered = remembered_port(&options);
    let wants_token = rule != AccessRule::Everyone;
    let server = Arc::new(Port(bind(None, choice, rule).await?));
    let asked = match choice {
        PortChoice::Prefer(port) => Some(port),
        PortChoice::Exactly(_) | PortChoice::Any => None,
    };
    let (for_more, is_token_fixed) = (options.clone(), args.require_token);
    let take = move || -> Waiting<'static, _> {
        let rule = access_rule(client_access(&for_more, is_token_fixed));
        Box::pin(async move {
            let server = bind(None, PortChoice::Any, rule).await;
            let server = server.inspect_err(|error| tracing::warn!(%error, "no second port"));
            Some(Arc::new(Port(server.ok()?)) as Arc<dyn ClientPort>)
        })
    };
    let ports = Ports::new(&options, Some(server.clone()), is_token_fixed, Box::new(take));
    let host = BrowserHost { ports: ports.clone(), asked, is_token_fixed };
    let app = App::start(options, Box::new(host)).await;
    drop(hold);
    if remembered.is_none() && asked == Some(server.number()) {
        app.remember_port(server.number());
    }
    let interface = interface::Interface::start(app.clone(), args.ui_port).await?;
    match app.store() {
        Ok(store) => tell(&store, &server.0, choice),
        Err(error) => println!("No store is open: {}", error.message),
    }
    if wants_token {
        tell_of_token();
    }
    println!("Open {} in a browser on this computer.", interface.link());
    let _ = std::io::stdout().flush();
    until_signal.await;
    app.stop().await;
    interface.shutdown().await;
    ports.shutdown().await;
    Ok(())
}

/// The port for MLflow clients, as the application wants it.
struct Port(RunningServer);

impl ClientPort for Port {
    fn number(&self) -> u16 {
        self.0.port()
    }

    fn set_store(&self, store: Option<Store>) {
        self.0.set_store(store);
    }

    fn set_access(&self, access: ClientAccess) {
        self.0.set_access(access_rule(access));
    }

    fn shutdown(&self) -> Waiting<'_> {
        Box::pin(self.0.shutdown())
    }
}

/// What the application needs of this host.
struct BrowserHost {
    ports: Ports,
    /// The port that was wished for, if another one would do.
    asked: Option<u16>,
    /// Whether the command line asked for the token, which the switch then cannot turn off.
    is_token_fixed: bool,
}

impl Host for BrowserHost {
    fn serve(&self, store: Option<Store>) -> Waiting<'_> {
        Box::pin(self.ports.serve(store))
    }

    fn set_access(&self, access: ClientAccess) {
        if !self.is_token_fixed {
            self.ports.set_access(&access);
        }
    }

    fn server_status(&self) -> ServerStatus {
        match self.ports.number() {
            Some(port) => ServerStatus::Listening {
                tracking_uri: format!("http://127.0.0.1:{port}"),
                instead_of: self.asked.filter(|asked| *asked != port),
            },
            None => ServerStatus::Off { reason: "Cairn is ending.".to_owned() },
        }
    }
}
