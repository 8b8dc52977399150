//! Free ports on the loopback for private servers and child processes.
use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt;

use super::error::{Result, ServersError};

/// Below the range that the kernel hands out for outgoing connections (32768…): a client that reconnects to a
/// killed broker could otherwise be given the broker's own port and connect to itself.
const RANGE: std::ops::Range<u16> = 20_000..30_000;
/// One in ten thousand is taken on a quiet machine; this many in a row means something else is wrong.
const TRIES_MAX: usize = 200;

/// `N` different ports that were free a moment ago.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut rng = rand::rng();
    // All listeners stay open until all ports are chosen, so that the ports differ.
    let mut held: Vec<(u16, TcpListener)> = Vec::with_capacity(N);
    for _ in 0..TRIES_MAX {
        if held.len() == N {
            break;
        }
        let port = rng.random_range(RANGE);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    let ports: Vec<u16> = held.iter().map(|(port, _)| *port).collect();
    ports.try_into().map_err(|_| ServersError::NoServers("no free ports on 127.0.0.1 between 20000 and 30000".into()))
}

/// One free port, for a child process.
pub fn free_port() -> Result<u16> {
    free_ports::<1>().map(|[port]| port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_differ_and_can_be_bound() {
        let ports = free_ports::<5>().expect("free");
        let distinct: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(distinct.len(), 5);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }
}
