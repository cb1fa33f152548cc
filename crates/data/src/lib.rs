//! Images, text and tables to batches
#![forbid(unsafe_code)]
