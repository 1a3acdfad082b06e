//! Everything that a window can ask of Cairn, declared once and carried by every host.

pub mod dto;
