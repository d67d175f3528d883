//! `vitald plugin test`: the tests of a plugin's project, by its language's own tool.

use std::path::PathBuf;

use super::project::Project;
use super::work;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The project.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub fn test(arguments: &Arguments) -> u8 {
    let tested = work(async |signals| {
        let project = Project::at(&arguments.dir)?;
        Ok(project.test(signals).await?)
    });
    match tested {
        Ok(()) => 0,
        Err(fault) => fault.report(),
    }
}
