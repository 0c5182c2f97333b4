//! What `entropy run` has found: figures, and a page with everything.

mod figures;
pub mod plot;
pub mod report;
mod survey;
