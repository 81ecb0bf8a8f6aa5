//! `palisade chain`: what it checks, what it makes, what becomes of failures, and what is left of it.

mod check;
mod containers;
mod describe;
mod down;
mod examples;
mod failover;
mod modes;
mod scale;
mod traffic;
