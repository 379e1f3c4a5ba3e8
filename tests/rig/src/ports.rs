//! Free TCP ports below 32768, where no kernel hands out ephemeral ports: a port found free here can only be lost to
//! another process that searches the same way. A caller still has to expect that and try again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

const FIRST: u16 = 16_000;
const END: u16 = 32_768;

/// Finds `N` different ports of the loopback interface without a listener at this moment.
pub(crate) fn free<const N: usize>() -> Option<[u16; N]> {
    let random = RandomState::new();
    let mut seen = HashSet::new();
    let mut found = (0_u64..2_000)
        .map(|attempt| {
            FIRST
                + u16::try_from(random.hash_one(attempt) % u64::from(END - FIRST))
                    .unwrap_or_default()
        })
        .filter(|port| {
            seen.insert(*port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
        });
    let mut ports = [0; N];
    for port in &mut ports {
        *port = found.next()?;
    }
    Some(ports)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ports_are_different_and_below_the_ephemeral_range() {
        let ports = free::<50>().unwrap();
        assert_eq!(HashSet::from(ports).len(), 50);
        assert!(
            ports.iter().all(|port| (FIRST..END).contains(port)),
            "{ports:?}"
        );
    }
}
