# SPDX-License-Identifier: Apache-2.0
"""Where resources come from: files, directories and standard input, as YAML or JSON.

What is read here is plain data with the place of each value; `sixlane.model` judges it. Nothing
here imports the models, so that the command line starts quickly.
"""
