//! The executable `frontdesk`: hands arguments, environment, stdin and stdout to the library and turns its answer into an exit code.

use std::io::IsTerminal;
use std::process::ExitCode;

use cli::{Environment, Session};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let session = Session::new(Environment::of_process(), Box::new(std::io::stdin()), Box::new(std::io::stdout()));
    let session = session.on_terminal(std::io::stdout().is_terminal());
    ExitCode::from(cli::run(std::env::args_os(), session, &mut std::io::stderr()).await)
}
