//! ResNet and BERT, one architecture per file
#![forbid(unsafe_code)]
