//! A private stack, from outside.

use devstack::{Stack, StackOptions};

#[test]
fn smoke() {
    let started = std::time::Instant::now();
    let stack = Stack::start(&StackOptions::default()).unwrap();
    eprintln!("started in {:?}", started.elapsed());
    eprintln!("{}", stack.rabbitmq().ctl(&["list_vhosts"]).unwrap());
    let now = std::time::Instant::now();
    stack.rabbitmq().kill().unwrap();
    stack.rabbitmq().start().unwrap();
    eprintln!("kill+start {:?}", now.elapsed());
    let now = std::time::Instant::now();
    drop(stack);
    eprintln!("drop {:?}", now.elapsed());
}
