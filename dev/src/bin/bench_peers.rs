//! `bench_peers …`: what `cargo dev bench` holds the product against, each as a process of its own, and the load generators. Built for release, like the
//! product. Results stand on stdout as one line of JSON; secrets and addresses come by environment.

use clap::{Args, Parser, Subcommand};
use dev::bench::callers::{self, Callers};
use dev::bench::{bare_booking, bare_ingress, bare_publish, load};
use dev::retell_stand_in::Target;
use uuid::Uuid;

#[derive(Parser)]
#[command(name = "bench_peers", about = "Peers and load generator of cargo dev bench")]
struct Cli {
    #[command(subcommand)]
    which: Which,
}

#[derive(Subcommand)]
enum Which {
    /// Sends signed webhooks over keep-alive connections
    Load {
        #[arg(long)]
        target: std::net::SocketAddr,
        #[arg(long)]
        path: String,
        #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
        secret: String,
        #[command(flatten)]
        run: Run,
    },
    /// Publishes with confirms and does nothing else
    Publish {
        #[arg(long, env = "AMQP_URL", hide_env_values = true)]
        amqp_url: String,
        #[command(flatten)]
        run: Run,
    },
    /// Callers who ask and book at a fixed rate
    Call {
        #[arg(long)]
        target_url: String,
        #[arg(long, env = "RETELL_API_KEY", hide_env_values = true)]
        api_key: String,
        /// Of those who are called, one a company
        #[arg(long = "number", required = true)]
        numbers: Vec<String>,
        #[arg(long)]
        calls: usize,
        #[arg(long)]
        rate: usize,
    },
    /// A bare server: verify, publish, confirm
    Ingress {
        #[arg(long)]
        port: u16,
        #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
        secret: String,
        #[arg(long, env = "AMQP_URL", hide_env_values = true)]
        amqp_url: String,
    },
    /// A bare consumer: one SQL function call per message
    Booking {
        #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
        database_url: String,
        #[arg(long, env = "AMQP_URL", hide_env_values = true)]
        amqp_url: String,
        #[arg(long)]
        queue: String,
        #[arg(long)]
        endpoint: Uuid,
    },
}

#[derive(Args)]
struct Run {
    /// Connections, or publishes in flight
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    #[arg(long)]
    seconds: u64,
    /// Number of the first body
    #[arg(long)]
    series: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let outcome = match Cli::parse().which {
        Which::Load { target, path, secret, run: Run { at_once, seconds, series } } => {
            load::run(load::Load { target, path, secret, connections: at_once, seconds, series }).await?
        }
        Which::Call { target_url, api_key, numbers, calls, rate } => {
            let heard = callers::run(Callers { target: Target { url: target_url, api_key }, numbers, calls, rate }).await?;
            println!("{}", serde_json::to_string(&heard)?);
            return Ok(());
        }
        Which::Publish { amqp_url, run: Run { at_once, seconds, series } } => bare_publish::run(&amqp_url, at_once, seconds, series).await?,
        Which::Ingress { port, secret, amqp_url } => return bare_ingress::run(port, &secret, &amqp_url).await,
        Which::Booking { database_url, amqp_url, queue, endpoint } => return bare_booking::run(&database_url, &amqp_url, &queue, endpoint).await,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
