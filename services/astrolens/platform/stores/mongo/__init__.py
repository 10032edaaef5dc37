"""The record store on MongoDB 7 or 8."""
