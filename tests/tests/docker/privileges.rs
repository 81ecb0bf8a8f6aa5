//! The least that it runs with, and what is said when even that is missing.

use anyhow::{Result, ensure};
use palisade_tests::engine::ContainerLab;
use palisade_tests::require_engine;

const PERMIT_ALL: &str = "policies:\n  - { name: all, from: any, to: any, action: permit }\n";

/// What README says of exit codes.
const NOT_PERMITTED: i64 = 7;

/// All other tests run with exactly that set, and without new privileges, seccomp's exceptions, or a file system to
/// write to.
#[test]
fn each_missing_capability_is_named_and_nothing_starts() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let least = lab.options()?;
    // Without the limit, which differs from machine to machine, locked memory needs no capability.
    let needed = least.capabilities.iter().filter(|it| *it != "IPC_LOCK");
    for missing in needed {
        let mut options = least.clone();
        options.capabilities.retain(|it| it != missing);
        let appliance = lab.launch(&lab.configuration(PERMIT_ALL), &options)?;
        let (code, log) = appliance.wait()?;
        ensure!(code == NOT_PERMITTED, "{code} without {missing}:\n{log}");
        ensure!(
            log.contains(&format!("CAP_{missing}")),
            "without {missing}:\n{log}"
        );
        lab.remove(&appliance)?;
    }
    Ok(())
}

#[test]
fn the_engines_own_set_of_capabilities_does_not_suffice_and_the_error_says_what_is_missing()
-> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let mut options = lab.options()?;
    options.capabilities = vec!["CHOWN".into(), "NET_RAW".into(), "SETPCAP".into()];
    let appliance = lab.launch(&lab.configuration(PERMIT_ALL), &options)?;
    let (code, log) = appliance.wait()?;
    ensure!(
        code == NOT_PERMITTED && log.contains("CAP_NET_ADMIN"),
        "{code}:\n{log}"
    );
    Ok(())
}

#[test]
fn a_limit_of_locked_memory_that_is_too_low_is_named_with_what_lifts_it() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let mut options = lab.options()?;
    options.capabilities.retain(|it| it != "IPC_LOCK");
    options
        .flags
        .extend(["--ulimit".into(), "memlock=65536".into()]);
    let appliance = lab.launch(&lab.configuration(PERMIT_ALL), &options)?;
    let (code, log) = appliance.wait()?;
    ensure!(code == 1, "{code}:\n{log}");
    ensure!(log.contains("CAP_IPC_LOCK"), "{log}");
    Ok(())
}

#[test]
fn a_user_who_is_not_root_is_told_what_is_missing() -> Result<()> {
    let lab = ContainerLab::new(require_engine!())?;
    let mut options = lab.options()?;
    options.flags.extend(["--user".into(), "65532".into()]);
    let appliance = lab.launch(&lab.configuration(PERMIT_ALL), &options)?;
    let (code, log) = appliance.wait()?;
    ensure!(
        code == NOT_PERMITTED && log.contains("CAP_NET_ADMIN"),
        "{code}:\n{log}"
    );
    Ok(())
}
