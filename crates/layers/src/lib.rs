//! Layers whose field names are checkpoint names
#![forbid(unsafe_code)]
