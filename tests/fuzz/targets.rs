//! All targets by name, for whoever runs them: the tests of this folder, and the guided search.

/// Hands every module with its targets to another macro.
macro_rules! each_target_of_boxes {
    ($with:ident) => {
        $with! {
            feeds: segment manifest head sealed;
            words: envelope query beacon pointer configuration;
        }
    };
}
