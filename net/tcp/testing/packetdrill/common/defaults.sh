#!/bin/sh
# Scripts begin with it. The settings that it makes on Linux are those of the profile "linux-test".
exit 0
