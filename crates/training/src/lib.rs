//! Optimisers, schedules, metrics, the fit loop, checkpoints
#![forbid(unsafe_code)]
