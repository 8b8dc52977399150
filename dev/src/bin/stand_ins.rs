//! `stand_ins calcom | retell`: one stand-in as a process, for the story, for Compose and for tests of other languages.
//! The first line on stdout names its address. Set up through its admin API; ends on Ctrl-C or SIGTERM.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, Parser, Subcommand};
use dev::calcom_stand_in::{self, CalcomStandIn, Limits};
use dev::retell_stand_in::{self, RetellStandIn, Target};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "stand_ins", about = "Stand-ins for Cal.com and Retell")]
struct Cli {
    #[command(subcommand)]
    which: Which,
}

#[derive(Subcommand)]
enum Which {
    /// Cal.com: API v2 below /v2, admin API below /admin
    #[command(after_help = "Example: stand_ins calcom --port 4010")]
    Calcom {
        #[command(flatten)]
        listen: Listen,
        /// Requests per minute and API key, unless the key says otherwise
        #[arg(long, default_value_t = 120)]
        rate_per_minute: u32,
    },
    /// Retell: plays calls posted to /admin/calls against an ingress
    #[command(after_help = "Example: stand_ins retell --port 4020 --ingress-url http://127.0.0.1:8080/v1/retell/demo")]
    Retell {
        #[command(flatten)]
        listen: Listen,
        /// Whole URL of the Retell endpoint at the ingress
        #[arg(long, env = "RETELL_TARGET_URL", default_value = "")]
        ingress_url: String,
        /// The key that signs and that opens the REST part
        #[arg(long, env = "RETELL_API_KEY", default_value = "", hide_env_values = true)]
        api_key: String,
    },
}

#[derive(Args)]
struct Listen {
    /// Address to listen on; the stand-ins have no protection, so keep them on loopback or in a private network
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().which {
        Which::Calcom { listen, rate_per_minute } => {
            let config = calcom_stand_in::Config {
                address: SocketAddr::new(listen.host, listen.port),
                limits: Limits { per_window: rate_per_minute, ..Limits::default() },
                ..Default::default()
            };
            let stand_in = CalcomStandIn::start(config).await?;
            println!("listening on {}", stand_in.base_url);
            told_to_stop().await
        }
        Which::Retell { listen, ingress_url, api_key } => {
            let config = retell_stand_in::Config {
                address: SocketAddr::new(listen.host, listen.port),
                target: Target { url: ingress_url, api_key },
                ..Default::default()
            };
            let stand_in = RetellStandIn::start(config).await?;
            println!("listening on {}", stand_in.base_url);
            told_to_stop().await
        }
    }
}

async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
