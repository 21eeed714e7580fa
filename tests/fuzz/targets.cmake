# fuzz_target(name folder...): the folder libraries whose parser it feeds.
