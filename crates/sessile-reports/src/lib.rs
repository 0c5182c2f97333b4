//! Pictures and reports of what the jobs have written: a list of marks that becomes SVG or PNG, the
//! figures and the HTML page of genomes, scores along contigs, and the chart of a measured service.

pub mod chart;
pub mod drawing;
pub mod genomes;
pub mod viruses;
