# Made by packaging/docs; do not edit.
complete -c scw-userdata -f
complete -c scw-userdata -n __fish_use_subcommand -s d -l delete -d 'delete the key'
complete -c scw-userdata -s f -l file -r -F -d 'take the value from FILE, a file or a pipe; `-` is standard input'
complete -c scw-userdata -n __fish_use_subcommand -s j -l json -d 'answer in JSON; a value that is not UTF-8 comes as base64'
complete -c scw-userdata -n __fish_use_subcommand -s h -l help -d 'show this help'
complete -c scw-userdata -n __fish_use_subcommand -s V -l version -d 'show the version'
