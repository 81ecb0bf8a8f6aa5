use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Environment, Vec<String>> {
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Environment::read(variables).map_err(|mistakes| mistakes.0)
}

fn good(name: &str, value: &str) -> Environment {
    read(&[(name, value)]).unwrap()
}

/// The one mistake that a variable with this value is.
fn wrong(name: &str, value: &str) -> String {
    let mistakes = read(&[(name, value)]).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    mistakes[0].clone()
}

fn cpus(set: Option<CpuSet>) -> Vec<usize> {
    let set = set.unwrap();
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

#[test]
fn an_empty_environment_says_nothing() {
    let environment = read(&[("PATH", "/bin"), ("CSRX_SIZE", ""), ("PALISADE_LOG", "")]).unwrap();
    assert_eq!(environment.size, None);
    assert!(environment.log.is_none() && environment.warnings.is_empty());
}

#[test]
fn each_variable_is_taken_in_both_spellings() {
    for prefix in ["PALISADE", "CSRX"] {
        let one = |name: &str, value: &str| good(&format!("{prefix}_{name}"), value);
        assert_eq!(one("FORWARD_MODE", "wire").mode, Some(Mode::Wire));
        assert_eq!(one("FORWARD_MODE", "routing").mode, Some(Mode::Routing));
        assert_eq!(
            one("PACKET_DRIVER", "poll").driver,
            Some(PacketDriver::Poll)
        );
        assert_eq!(
            one("PACKET_DRIVER", "interrupt").driver,
            Some(PacketDriver::Interrupt)
        );
        assert_eq!(one("SIZE", "small").size, Some(Size::Small));
        assert_eq!(one("SIZE", "middle").size, Some(Size::Middle));
        assert_eq!(one("SIZE", "large").size, Some(Size::Large));
        assert_eq!(
            one("PORT_NUM", "17").ports,
            Some((17, format!("{prefix}_PORT_NUM")))
        );
        assert_eq!(cpus(one("CTRL_CPU", "0x1").control_processors), [0]);
        assert_eq!(cpus(one("DATA_CPU", "A0").data_processors), [5, 7]);
        assert_eq!(
            one("ARP_TIMEOUT", "60000").arp_timeout,
            Some(Duration::from_secs(60))
        );
        assert_eq!(
            one("NDP_TIMEOUT", "1").ndp_timeout,
            Some(Duration::from_millis(1))
        );
        assert!(one("AUTO_ASSIGN_IP", "yes").warnings.is_empty());
        assert_eq!(
            one("MGMT_PORT_REORDER", "yes").management_last,
            Some(format!("{prefix}_MGMT_PORT_REORDER"))
        );
        assert_eq!(one("MGMT_PORT_REORDER", "no").management_last, None);
        assert!(
            one("ROOT_PASSWORD", "correct horse battery")
                .password
                .is_some()
        );
    }
    assert_eq!(
        good("PALISADE_PACKET_DRIVER", "adaptive").driver,
        Some(PacketDriver::Adaptive)
    );
    assert!(matches!(
        good("PALISADE_LOG", "json").log,
        Some(Format::Json)
    ));
    for name in ["PALISADE_LOG_LEVEL", "RUST_LOG"] {
        assert_eq!(
            good(name, "info,session=debug").log_level.as_deref(),
            Some("info,session=debug")
        );
    }
}

#[test]
fn a_value_that_is_not_possible_is_told_with_what_is() {
    for (name, value, allowed) in [
        (
            "CSRX_FORWARD_MODE",
            "rooting",
            "routing or wire; did you mean routing?",
        ),
        (
            "PALISADE_FORWARD_MODE",
            "Wire",
            "routing or wire; did you mean wire?",
        ),
        ("CSRX_PACKET_DRIVER", "dpdk", "adaptive, poll or interrupt"),
        ("CSRX_SIZE", "medium", "small, middle or large"),
        (
            "CSRX_PORT_NUM",
            "2",
            "a number from 3 to 17, management's port included",
        ),
        (
            "CSRX_PORT_NUM",
            "18",
            "a number from 3 to 17, management's port included",
        ),
        (
            "CSRX_PORT_NUM",
            "three",
            "a number from 3 to 17, management's port included",
        ),
        (
            "CSRX_CTRL_CPU",
            "0x0",
            "a mask of processors in hexadecimal, as in 0x6 for 1 and 2",
        ),
        (
            "CSRX_DATA_CPU",
            "0-3",
            "a mask of processors in hexadecimal, as in 0x6 for 1 and 2",
        ),
        (
            "PALISADE_LOG_LEVEL",
            "infoo",
            "infoo is no level; off, error, warn, info, debug or trace, or by target: info,session=debug",
        ),
        (
            "RUST_LOG",
            "session=debug,loud",
            "loud is no level; off, error, warn, info, debug or trace, or by target: info,session=debug",
        ),
        ("CSRX_ARP_TIMEOUT", "0", "milliseconds, from 1 to 86400000"),
        ("CSRX_NDP_TIMEOUT", "1s", "milliseconds, from 1 to 86400000"),
        ("CSRX_AUTO_ASSIGN_IP", "true", "yes or no"),
        (
            "CSRX_MGMT_PORT_REORDER",
            "YES",
            "yes or no; did you mean yes?",
        ),
        ("CSRX_TCP_CKSUM_CALC", "1", "yes or no"),
        ("PALISADE_LOG", "xml", "text or json"),
    ] {
        assert_eq!(wrong(name, value), format!("{name}={value}: {allowed}"));
    }
    let said = wrong("PALISADE_LOG_LEVEL", "session=loud");
    assert!(
        said.starts_with("PALISADE_LOG_LEVEL=session=loud: "),
        "{said}"
    );
    let said = wrong("CSRX_JUNOS_CONFIG", "/var/tmp/junos.conf");
    assert!(said.contains("mount a palisade.yaml"), "{said}");
}

#[test]
fn a_mask_may_be_wide_and_not_wider_than_the_kernel_has_it() {
    let wide = format!("8{}", "0".repeat(CpuSet::MAX_CPU / 4 - 1));
    assert_eq!(
        cpus(good("CSRX_DATA_CPU", &wide).data_processors),
        [CpuSet::MAX_CPU - 1]
    );
    wrong("CSRX_DATA_CPU", &format!("1{wide}"));
}

#[test]
fn an_unknown_name_is_a_mistake_that_says_what_was_meant() {
    assert_eq!(
        wrong("PALISADE_SIZES", "small"),
        "there is no PALISADE_SIZES; did you mean PALISADE_SIZE?"
    );
    assert_eq!(
        wrong("CSRX_FORWARDMODE", ""),
        "there is no CSRX_FORWARDMODE; did you mean CSRX_FORWARD_MODE?"
    );
    let strange = "PALISADE_SOMETHING_ELSE_ALTOGETHER";
    assert_eq!(wrong(strange, "1"), format!("there is no {strange}"));
    // cSRX has no such variables.
    wrong("CSRX_LOG", "json");
}

#[test]
fn what_other_commands_and_kubernetes_put_there_is_let_through() {
    for (name, value) in [
        ("PALISADE_TOKEN", "palisade_1"),
        ("PALISADE_SERVICE_HOST", "192.0.2.1"),
        ("PALISADE_SERVICE_PORT", "8443"),
        ("PALISADE_SERVICE_PORT_API", "8443"),
        ("PALISADE_PORT", "tcp://192.0.2.1:8443"),
        ("PALISADE_PORT_8443_TCP", "tcp://192.0.2.1:8443"),
        ("PALISADE_PORT_8443_TCP_ADDR", "192.0.2.1"),
        ("PALISADE_EDGE_PORT", "udp://192.0.2.1:53"),
        ("CSRX_PORT_830_TCP_PROTO", "tcp"),
    ] {
        assert!(good(name, value).warnings.is_empty(), "{name}");
    }
    wrong("PALISADE_PORT", "3");
}

#[test]
fn two_spellings_may_only_say_the_same() {
    let both = |native, foreign| read(&[("CSRX_SIZE", foreign), ("PALISADE_SIZE", native)]);
    assert_eq!(both("small", "small").unwrap().size, Some(Size::Small));
    assert_eq!(both("small", "").unwrap().size, Some(Size::Small));
    assert_eq!(
        both("small", "large").unwrap_err(),
        ["CSRX_SIZE=large and PALISADE_SIZE=small mean the same and differ"]
    );
}

#[test]
fn all_mistakes_are_found_at_once() {
    let mistakes = read(&[
        ("PALISADE_SIZE", "huge"),
        ("CSRX_PORT_NUM", "1"),
        ("CSRX_NOTHING", ""),
    ])
    .unwrap_err();
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    let mistakes = Mistakes(mistakes);
    assert_eq!(mistakes.to_string(), "the environment has 3 mistakes");
    assert_eq!(mistakes.details().len(), 3);
}

#[test]
fn what_is_ignored_says_why() {
    for (name, value) in [
        ("CSRX_TCP_CKSUM_CALC", "yes"),
        ("CSRX_TCP_CKSUM_CALC", "no"),
        ("CSRX_AUTO_ASSIGN_IP", "no"),
    ] {
        let warnings = good(name, value).warnings;
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].starts_with(&format!("{name}={value} is ignored: ")),
            "{warnings:?}"
        );
    }
}

#[test]
fn a_wire_has_two_ends() {
    let mistakes = read(&[
        ("PALISADE_FORWARD_MODE", "wire"),
        ("PALISADE_PORT_NUM", "4"),
    ]);
    assert_eq!(
        mistakes.unwrap_err(),
        ["PALISADE_PORT_NUM=4: a wire has two ends, which with management makes 3 ports"]
    );
    read(&[
        ("PALISADE_FORWARD_MODE", "wire"),
        ("PALISADE_PORT_NUM", "3"),
    ])
    .unwrap();
}

#[test]
fn a_password_is_never_shown() {
    let secret = "hunter2-hunter2";
    for variables in [
        &[("CSRX_ROOT_PASSWORD", "hunter2")][..],
        &[
            ("CSRX_ROOT_PASSWORD", secret),
            ("PALISADE_ROOT_PASSWORD", "hunter2-hunter3"),
        ],
        &[
            ("CSRX_ROOT_PASSWORD", secret),
            ("PALISADE_ROOT_PASSWORD_FILE", "/nowhere"),
        ],
    ] {
        let mistakes = read(variables).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(!mistakes[0].contains("hunter"), "{mistakes:?}");
        assert!(mistakes[0].contains("ROOT_PASSWORD"), "{mistakes:?}");
    }
    let environment = good("PALISADE_ROOT_PASSWORD", secret);
    assert!(!format!("{environment:?}").contains(secret));
    assert_eq!(
        secrets().collect::<Vec<_>>(),
        ["PALISADE_ROOT_PASSWORD", "CSRX_ROOT_PASSWORD"]
    );
}

#[test]
fn a_password_may_come_from_a_file() {
    let path = std::env::temp_dir().join(format!("palisade-password-{}", std::process::id()));
    for (text, taken) in [
        ("correct horse battery\n", true),
        ("correct horse battery", true),
        ("correct horse battery\r\n", true),
        ("correct horse\nbattery\n", false),
        ("short\n", false),
    ] {
        std::fs::write(&path, text).unwrap();
        let read = read(&[(PASSWORD_FILE, path.to_str().unwrap())]);
        assert_eq!(read.is_ok(), taken, "{read:?}");
    }
    std::fs::remove_file(&path).unwrap();
    let said = wrong(PASSWORD_FILE, "/nowhere/password");
    assert!(
        said.starts_with("PALISADE_ROOT_PASSWORD_FILE=/nowhere/password: cannot be read"),
        "{said}"
    );
}

#[test]
fn ours_are_those_that_a_lab_takes_away() {
    assert!(is_ours("PALISADE_ANYTHING") && is_ours("CSRX_SIZE"));
    assert!(!is_ours("RUST_LOG") && !is_ours("PATH"));
}
