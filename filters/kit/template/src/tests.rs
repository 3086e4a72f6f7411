mod bounds;
mod chat;
mod shape;
mod table;
