use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::testing::{ip, numbers, pool, tuple};

const OWN: &str = "198.51.100.1";

fn inside(protocol: Protocol, address: &str, port: u16) -> Tuple {
    let anywhere = if address.contains(':') {
        "2001:db8:9::9"
    } else {
        "203.0.113.9"
    };
    tuple(protocol, (address, port), (anywhere, 443))
}

fn interface(leases: &Leases, tuple: Tuple, attempt: u8) -> Result<Lease, Exhausted> {
    let request = Request {
        tuple,
        candidates: Candidates::Interface(&[ip(OWN)]),
        attempt,
    };
    leases.grant(&request, &mut numbers(u64::from(tuple.source_port)))
}

fn from_pool(leases: &Leases, pool: &Pool, tuple: Tuple) -> Result<Lease, Exhausted> {
    let request = Request {
        tuple,
        candidates: Candidates::Pool(pool),
        attempt: 0,
    };
    leases.grant(&request, &mut numbers(u64::from(tuple.source_port)))
}

#[test]
fn a_lease_is_two_words_and_may_change_threads() {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_send::<Lease>();
    is_shared::<Leases>();
    assert_eq!(size_of::<Lease>(), 16);
    assert_eq!(size_of::<Option<Lease>>(), 16);
}

#[test]
fn the_inside_port_is_kept_where_it_is_free() {
    let leases = Leases::new();
    let tcp = inside(Protocol::TCP, "192.0.2.7", 5000);
    let first = interface(&leases, tcp, 0).unwrap();
    assert_eq!((first.address(), first.port()), (ip(OWN), Some(5000)));

    let second = interface(&leases, inside(Protocol::TCP, "192.0.2.8", 5000), 0).unwrap();
    assert_ne!(second.port(), Some(5000));
    assert!(second.port() >= Some(1024));

    drop(first);
    let third = interface(&leases, tcp, 0).unwrap();
    assert_eq!(third.port(), Some(5000));
}

#[test]
fn a_second_attempt_takes_another_port() {
    let leases = Leases::new();
    let lease = interface(&leases, inside(Protocol::TCP, "192.0.2.7", 5000), 1).unwrap();
    assert_ne!(lease.port(), Some(5000));
}

#[test]
fn a_low_port_of_an_interface_is_left_to_its_services() {
    let leases = Leases::new();
    let lease = interface(&leases, inside(Protocol::UDP, "192.0.2.7", 500), 0).unwrap();
    assert!(lease.port() >= Some(1024));
}

#[test]
fn udp_keeps_its_parity() {
    let leases = Leases::new();
    for port in [6000, 6001] {
        let tuple = inside(Protocol::UDP, "192.0.2.7", port);
        let others: Vec<Lease> = (0..50)
            .map(|_| interface(&leases, tuple, 1).unwrap())
            .collect();
        assert!(
            others
                .iter()
                .all(|lease| lease.port().unwrap() % 2 == port % 2)
        );
    }
}

#[test]
fn each_protocol_has_ports_of_its_own() {
    let leases = Leases::new();
    let held: Vec<Lease> = [Protocol::TCP, Protocol::UDP, Protocol::ICMP]
        .map(|protocol| interface(&leases, inside(protocol, "192.0.2.7", 5000), 0).unwrap())
        .into();
    assert!(held.iter().all(|lease| lease.port() == Some(5000)));
    let usage = leases.usage(ip(OWN));
    assert_eq!((usage.tcp, usage.udp, usage.icmp), (1, 1, 1));
}

#[test]
fn an_icmp_identifier_may_be_any_number() {
    let leases = Leases::new();
    for identifier in [0, 1, 1023, u16::MAX] {
        let lease = interface(&leases, inside(Protocol::ICMP, "192.0.2.7", identifier), 0).unwrap();
        assert_eq!(lease.port(), Some(identifier));
    }
}

#[test]
fn a_protocol_without_ports_leases_an_address_only() {
    let leases = Leases::new();
    let gre = inside(Protocol::GRE, "192.0.2.7", 0);
    let held = [
        interface(&leases, gre, 0).unwrap(),
        interface(&leases, gre, 0).unwrap(),
    ];
    assert!(
        held.iter()
            .all(|lease| lease.port().is_none() && lease.address() == ip(OWN))
    );
    assert_eq!(leases.usage(ip(OWN)).address_only, 2);
    drop(held);
    assert_eq!(leases.usage(ip(OWN)).leases(), 0);
}

#[test]
fn an_inside_address_stays_with_one_of_the_pool() {
    let (leases, pool) = (Leases::new(), pool(&["198.51.100.32/28"], None));
    let mut used = HashSet::new();
    let mut held = Vec::new();
    for host in 1..=100 {
        let host = format!("192.0.2.{host}");
        let addresses: HashSet<IpAddr> = (5000..5010)
            .map(|port| {
                held.push(from_pool(&leases, &pool, inside(Protocol::TCP, &host, port)).unwrap());
                held.last().unwrap().address()
            })
            .collect();
        assert_eq!(addresses.len(), 1);
        used.extend(addresses);
    }
    assert!(used.len() > 10, "100 hosts spread over 16 addresses");
    assert_eq!(leases.pool_usage(&pool).tcp, 1000);
}

#[test]
fn the_same_key_makes_the_same_pairs() {
    let pool = pool(&["198.51.100.0/24"], None);
    let pairs = |leases: &Leases| -> Vec<IpAddr> {
        let hosts = (1..=20).map(|host| format!("192.0.2.{host}"));
        hosts
            .map(|host| {
                from_pool(leases, &pool, inside(Protocol::TCP, &host, 1))
                    .unwrap()
                    .address()
            })
            .collect()
    };
    let before = Leases::new();
    let paired = pairs(&before);
    let after = Leases::with_pairing_key(before.pairing_key().unwrap());
    assert_eq!(pairs(&after), paired);
    assert_ne!(pairs(&Leases::with_pairing_key([1, 2, 3, 4])), paired);
}

#[test]
fn a_full_address_falls_over_to_the_next_until_all_are_full() {
    let (leases, pool) = (
        Leases::new(),
        pool(&["198.51.100.32/30"], Some("2000-2009")),
    );
    let tuple = inside(Protocol::TCP, "192.0.2.7", 2000);
    let held: Vec<Lease> = (0..pool.capacity())
        .map(|_| from_pool(&leases, &pool, tuple).unwrap())
        .collect();
    let distinct: HashSet<_> = held
        .iter()
        .map(|lease| (lease.address(), lease.port()))
        .collect();
    assert_eq!(distinct.len(), 40);

    assert_eq!(
        from_pool(&leases, &pool, tuple).unwrap_err(),
        Exhausted::NoPort
    );
    assert_eq!(leases.pool_usage(&pool).refused, 1);
    drop(held);
    assert_eq!(leases.pool_usage(&pool).leases(), 0);
    assert!(from_pool(&leases, &pool, tuple).is_ok());
}

#[test]
fn in_a_large_pool_full_addresses_are_left_behind() {
    let (leases, pool) = (Leases::new(), pool(&["10.1.0.0/20"], Some("2000")));
    let request = Request {
        tuple: inside(Protocol::TCP, "192.0.2.7", 2000),
        candidates: Candidates::Pool(&pool),
        attempt: 0,
    };
    let mut random = numbers(7);
    let held: Vec<Lease> = (0..2000)
        .map_while(|_| leases.grant(&request, &mut random).ok())
        .collect();
    assert_eq!(held.len(), 2000, "half of 4,096, all for one host");
}

#[test]
fn families_do_not_mix_and_are_counted_apart() {
    let (leases, pool) = (Leases::new(), pool(&["198.51.100.32/30"], None));
    let ipv6 = inside(Protocol::TCP, "2001:db8::7", 5000);
    assert_eq!(
        from_pool(&leases, &pool, ipv6).unwrap_err(),
        Exhausted::NoAddress
    );
    let usage = leases.pool_usage(&pool);
    assert_eq!((usage.refused, usage.other_family), (0, 1));
    assert_eq!(
        interface(&leases, ipv6, 0).unwrap_err(),
        Exhausted::NoAddress
    );

    let nothing = Request {
        tuple: ipv6,
        candidates: Candidates::Interface(&[]),
        attempt: 0,
    };
    assert_eq!(
        leases.grant(&nothing, &mut || 0).unwrap_err(),
        Exhausted::NoAddress
    );
}

#[test]
fn a_link_local_address_is_not_for_the_world() {
    let own = [ip("fe80::1"), ip("2001:db8::1")];
    let request = Request {
        tuple: inside(Protocol::TCP, "2001:db8:5::7", 5000),
        candidates: Candidates::Interface(&own),
        attempt: 0,
    };
    let lease = Leases::new().grant(&request, &mut || 0).unwrap();
    assert_eq!(lease.address(), own[1]);
}

#[test]
fn an_adopted_port_is_taken_like_a_granted_one() {
    let leases = Leases::new();
    let adopted = leases.adopt(Protocol::TCP, ip(OWN), Some(5000)).unwrap();
    assert!(leases.adopt(Protocol::TCP, ip(OWN), Some(5000)).is_none());
    assert!(leases.adopt(Protocol::TCP, ip(OWN), None).is_none());
    assert!(leases.adopt(Protocol::GRE, ip(OWN), None).is_some());
    let granted = interface(&leases, inside(Protocol::TCP, "192.0.2.7", 5000), 0).unwrap();
    assert_ne!(granted.port(), Some(5000));
    drop(adopted);
    assert!(leases.adopt(Protocol::TCP, ip(OWN), Some(5000)).is_some());
}

#[test]
fn a_lease_is_admitted_where_it_could_have_been_granted() {
    let leases = Leases::new();
    let lease = leases
        .adopt(Protocol::TCP, ip("198.51.100.33"), Some(5000))
        .unwrap();
    assert!(Candidates::Pool(&pool(&["198.51.100.32/28"], None)).admit(&lease));
    assert!(!Candidates::Pool(&pool(&["198.51.100.32/28"], Some("6000-7000"))).admit(&lease));
    assert!(!Candidates::Pool(&pool(&["198.51.100.48/28"], None)).admit(&lease));
    assert!(Candidates::Interface(&[ip("198.51.100.33")]).admit(&lease));
    assert!(!Candidates::Interface(&[ip(OWN)]).admit(&lease));
}

#[test]
fn what_is_idle_is_forgotten_and_what_is_held_is_not() {
    let leases = Leases::new();
    let held = leases
        .adopt(Protocol::TCP, ip("198.51.100.1"), Some(5000))
        .unwrap();
    drop(leases.adopt(Protocol::TCP, ip("198.51.100.2"), Some(5000)));
    drop(leases.adopt(Protocol::TCP, ip("198.51.100.3"), Some(5000)));
    leases.forget_idle(|address| address == ip("198.51.100.3"));
    assert_eq!(leases.addresses(), [ip("198.51.100.1"), ip("198.51.100.3")]);
    assert!(
        leases
            .adopt(Protocol::TCP, held.address(), held.port())
            .is_none()
    );
}

#[test]
fn a_lease_outlives_the_leases_it_came_from() {
    let lease = Leases::new()
        .adopt(Protocol::TCP, ip(OWN), Some(5000))
        .unwrap();
    assert_eq!(lease.port(), Some(5000));
}

#[test]
fn workers_never_hold_the_same_port() {
    const WORKERS: usize = 4;
    const ROUNDS: usize = 20_000;
    let (leases, pool) = (
        Leases::new(),
        pool(&["198.51.100.32/31"], Some("2000-2299")),
    );
    // One flag for each address and port: set while somebody holds it.
    let held: Vec<std::sync::atomic::AtomicBool> = (0..600).map(|_| false.into()).collect();
    let flag = |lease: &Lease| {
        let second = lease.address() == ip("198.51.100.33");
        &held[usize::from(lease.port().unwrap() - 2000) + if second { 300 } else { 0 }]
    };

    let refused = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for worker in 0..WORKERS {
            let (leases, pool, flag, refused) = (leases.clone(), &pool, &flag, &refused);
            threads.spawn(move || {
                let mut random = numbers(worker as u64);
                let mut mine: Vec<Lease> = Vec::new();
                let relaxed = std::sync::atomic::Ordering::Relaxed;
                for _ in 0..ROUNDS {
                    // More is asked for than given back, so that it fills up.
                    if !mine.is_empty() && random() % 8 < 3 {
                        let lease = mine.swap_remove(random() as usize % mine.len());
                        assert!(flag(&lease).swap(false, relaxed));
                        continue;
                    }
                    let host = format!("192.0.2.{}", random() % 250 + 1);
                    let tuple = inside(Protocol::UDP, &host, 2000 + (random() % 300) as u16);
                    let request = Request {
                        tuple,
                        candidates: Candidates::Pool(pool),
                        attempt: 0,
                    };
                    match leases.grant(&request, &mut random) {
                        Ok(lease) => {
                            assert!(!flag(&lease).swap(true, relaxed), "{lease:?} was held");
                            mine.push(lease);
                        }
                        Err(_) => {
                            refused.fetch_add(1, relaxed);
                        }
                    }
                }
                for lease in mine {
                    flag(&lease).store(false, relaxed);
                }
            });
        }
    });
    assert!(refused.into_inner() > 0, "the pool was full at times");
    assert_eq!(leases.pool_usage(&pool).leases(), 0);
}

/// What a property case does next.
#[derive(Clone, Debug)]
enum Step {
    Grant {
        protocol: Protocol,
        host: u8,
        port: u16,
        attempt: u8,
    },
    Adopt {
        protocol: Protocol,
        address: u8,
        port: u16,
    },
    Drop(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let protocol = || prop::sample::select(vec![Protocol::TCP, Protocol::UDP, Protocol::ICMP]);
    prop_oneof![
        4 => (protocol(), 1..6_u8, 995..1055_u16, 0..2_u8).prop_map(
            |(protocol, host, port, attempt)| Step::Grant { protocol, host, port, attempt }),
        1 => (protocol(), 0..4_u8, 1000..1050_u16).prop_map(
            |(protocol, address, port)| Step::Adopt { protocol, address, port }),
        2 => any::<prop::sample::Index>().prop_map(Step::Drop),
    ]
}

proptest! {
    /// Against a set that knows what is held: never twice, refused only when all is held, and
    /// free again as soon as dropped.
    #[test]
    fn grants_and_drops_agree_with_a_set(
        steps in prop::collection::vec(step(), 1..600),
        seed: u64,
    ) {
        const PORTS: std::ops::RangeInclusive<u16> = 1000..=1049;
        let (leases, pool) = (Leases::new(), pool(&["198.51.100.0/30"], Some("1000-1049")));
        let mut random = numbers(seed);
        let mut held: HashMap<(IpAddr, Protocol, u16), Lease> = HashMap::new();
        for step in steps {
            match step {
                Step::Grant { protocol, host, port, attempt } => {
                    let request = Request {
                        tuple: inside(protocol, &format!("192.0.2.{host}"), port),
                        candidates: Candidates::Pool(&pool),
                        attempt,
                    };
                    // A high port may have none of the low ones.
                    let may_have = |taken: u16| {
                        protocol == Protocol::ICMP || port < 1024 || taken >= 1024
                    };
                    match leases.grant(&request, &mut random) {
                        Ok(lease) => {
                            let taken = lease.port().unwrap();
                            prop_assert!(PORTS.contains(&taken) && may_have(taken));
                            let key = (lease.address(), protocol, taken);
                            prop_assert!(held.insert(key, lease).is_none());
                        }
                        Err(error) => {
                            prop_assert_eq!(error, Exhausted::NoPort);
                            let ours = held.keys().filter(|key| key.1 == protocol && may_have(key.2));
                            let all = PORTS.filter(|port| may_have(*port)).count() * 4;
                            prop_assert_eq!(ours.count(), all);
                        }
                    }
                }
                Step::Adopt { protocol, address, port } => {
                    let address = ip(&format!("198.51.100.{address}"));
                    let key = (address, protocol, port);
                    let lease = leases.adopt(protocol, address, Some(port));
                    prop_assert_eq!(lease.is_none(), held.contains_key(&key));
                    if let Some(lease) = lease {
                        held.insert(key, lease);
                    }
                }
                Step::Drop(index) => {
                    if !held.is_empty() {
                        let mut keys: Vec<_> = held.keys().copied().collect();
                        keys.sort_unstable();
                        held.remove(index.get(&keys));
                    }
                }
            }
            prop_assert_eq!(leases.pool_usage(&pool).leases(), held.len() as u64);
        }
        held.clear();
        prop_assert_eq!(leases.pool_usage(&pool).leases(), 0);
    }
}
