//! What paused processes have missed: bytes and connections that wait unread in their sockets, as the kernel tells (Linux). A pause in which nobody wanted anything
//! of a process is no fault. Called by `strike`.

use std::collections::HashSet;
use std::path::Path;

/// TCP of both families; a server that listens on both is reached by the second with IPv4 as well.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// Columns of a table: the two queues, the socket's inode.
const QUEUES: usize = 4;
const INODE: usize = 9;

/// Whether anything waits to be read by one of these processes: bytes of a connection, or connections that nobody has accepted.
pub fn waits_for(pids: &[u32]) -> bool {
    let own: HashSet<u64> = pids.iter().flat_map(|pid| sockets_of(*pid)).collect();
    TABLES.iter().any(|table| {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        text.lines().skip(1).filter_map(unread).any(|(inode, bytes)| bytes > 0 && own.contains(&inode))
    })
}

/// Inodes of its open sockets; none when it is gone.
fn sockets_of(pid: u32) -> Vec<u64> {
    let descriptors = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).into_iter().flatten().flatten();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

/// A line's socket and what waits in its receive queue: bytes, or connections where it listens.
fn unread(line: &str) -> Option<(u64, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, received) = fields.get(QUEUES)?.split_once(':')?;
    Some((fields.get(INODE)?.parse().ok()?, u64::from_str_radix(received, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_line_of_the_kernels_table_is_read() {
        let line = "   5: 0100007F:E2C1 0100007F:1538 01 00000000:0000001A 00:00000000 00000000     0        0 424242 1 0000000000000000 20 4 30 10 -1";
        assert_eq!(unread(line), Some((424_242, 26)));
        assert_eq!(unread("  sl  local_address"), None);
    }

    /// The queue is looked at after a write that has returned: on loopback it is filled by then.
    #[test]
    fn bytes_wait_until_they_are_read() {
        if !Path::new(TABLES[0]).exists() {
            eprintln!("not tried on this machine: it has no {}", TABLES[0]);
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let inode_of = |stream: &TcpStream| {
            use std::os::fd::AsRawFd;
            let target = std::fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
            target.to_str().unwrap().trim_start_matches("socket:[").trim_end_matches(']').parse::<u64>().unwrap()
        };
        let (mut server, _) = listener.accept().unwrap();
        let inode = inode_of(&server);
        assert!(sockets_of(std::process::id()).contains(&inode));
        let waiting = || {
            let text = std::fs::read_to_string(TABLES[0]).unwrap();
            text.lines().filter_map(unread).find(|(found, _)| *found == inode).map(|(_, bytes)| bytes)
        };
        assert_eq!(waiting(), Some(0));
        client.write_all(b"anybody there?").unwrap();
        assert_eq!(waiting(), Some(14));
        assert!(waits_for(&[std::process::id()]));
        server.read_exact(&mut [0; 14]).unwrap();
        assert_eq!(waiting(), Some(0));
    }
}
