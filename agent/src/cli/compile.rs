//! `vitald compile`: the process in which the agent compiles a plugin. Nobody else calls it.

/// Not even logs are set up: the one line that it may say is read by the agent.
pub fn compile() -> u8 {
    crate::sandbox::compile_main()
}
