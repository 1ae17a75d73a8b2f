//! A bare librdkafka loop: the floor that weir's speed is measured against.

fn main() {}
