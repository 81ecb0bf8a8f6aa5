//! `BPF_PROG_TEST_RUN`: a program on one packet, without a device.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, Result, ensure};

/// What is asked of a run. The packet arrives at the loopback device, index 1, of this namespace.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub mark: u32,
    /// Payload bytes of each segment, and how many there are: 0 for a packet that is not GSO.
    pub gso_bytes: u32,
    pub gso_segments: u32,
    /// The packet comes with a device's sum over all of it, and the kernel verifies afterwards that this was kept
    /// right.
    pub device_sum: bool,
    pub times: u32,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            mark: 0,
            gso_bytes: 0,
            gso_segments: 0,
            device_sum: false,
            times: 1,
        }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// `TC_ACT_*` or `XDP_*`.
    pub action: u32,
    pub frame: Vec<u8>,
    pub mark: u32,
}

/// `union bpf_attr`, the part of it that `BPF_PROG_TEST_RUN` reads and writes.
#[repr(C)]
#[derive(Debug, Default)]
struct Attributes {
    program: u32,
    action: u32,
    data_in_bytes: u32,
    data_out_bytes: u32,
    data_in: u64,
    data_out: u64,
    times: u32,
    nanoseconds: u32,
    context_in_bytes: u32,
    context_out_bytes: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    processor: u32,
    batch: u32,
    padding: u32,
}

const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_F_TEST_SKB_CHECKSUM_COMPLETE: u32 = 1 << 2;

/// Offsets in `struct __sk_buff`.
const BUFFER_BYTES: usize = 192;
const MARK: usize = 8;
const GSO_SEGMENTS: usize = 164;
const GSO_BYTES: usize = 176;

/// More than the kernel lets a run begin with.
const MOST_BYTES: usize = 8_192;

/// Runs a classifier.
pub(super) fn classifier(program: BorrowedFd<'_>, frame: &[u8], run: &Run) -> Result<Ran> {
    let mut context = [0; BUFFER_BYTES];
    put(&mut context, MARK, run.mark);
    put(&mut context, GSO_SEGMENTS, run.gso_segments);
    put(&mut context, GSO_BYTES, run.gso_bytes);
    let mut ran = test_run(program, frame, Some(&mut context), run)?;
    ran.mark = u32::from_ne_bytes(*context[MARK..].first_chunk().expect("inside the context"));
    Ok(ran)
}

/// Runs an XDP program. Of `run` only `times` applies.
pub(super) fn xdp(program: BorrowedFd<'_>, frame: &[u8], run: &Run) -> Result<Ran> {
    test_run(program, frame, None, run)
}

fn put(context: &mut [u8], at: usize, value: u32) {
    context[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

fn test_run(
    program: BorrowedFd<'_>,
    frame: &[u8],
    context: Option<&mut [u8; BUFFER_BYTES]>,
    run: &Run,
) -> Result<Ran> {
    let mut out = vec![0; MOST_BYTES];
    let (context, context_bytes) = context.map_or((0, 0), |context| {
        (context.as_mut_ptr() as u64, BUFFER_BYTES as u32)
    });
    let mut attributes = Attributes {
        program: program.as_raw_fd().cast_unsigned(),
        data_in: frame.as_ptr() as u64,
        data_in_bytes: u32::try_from(frame.len())?,
        data_out: out.as_mut_ptr() as u64,
        data_out_bytes: MOST_BYTES as u32,
        context_in: context,
        context_in_bytes: context_bytes,
        context_out: context,
        context_out_bytes: context_bytes,
        times: run.times,
        flags: if run.device_sum {
            BPF_F_TEST_SKB_CHECKSUM_COMPLETE
        } else {
            0
        },
        ..Attributes::default()
    };
    // SAFETY: the attributes are initialised and as long as stated, and so is every buffer that they point to; all
    // of them outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_TEST_RUN,
            &raw mut attributes,
            size_of::<Attributes>(),
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error()).context("the kernel did not run the program");
    }
    let bytes = attributes.data_out_bytes as usize;
    ensure!(bytes <= MOST_BYTES, "{bytes} bytes came out");
    out.truncate(bytes);
    Ok(Ran {
        action: attributes.action,
        frame: out,
        mark: 0,
    })
}
